"""The arms of a study: what each learns from, what is measured in it and in what unit."""

from dataclasses import dataclass

PARAMETERS = "parameters"
PARAMETERS_LABEL = "non-embedding parameters"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm of a study: its data, its task, its loss, and the columns of the runs table that count its data.

    Laws use the first of `data_columns`. `loss_degree` is the power of an error that the loss of training and
    validation is: 2 for squared errors.
    """

    examples: str  # what its data sizes count
    header: str  # file of a dataset's folder that is written last
    task: str  # module:class of its training task
    loss: str  # column of the runs table
    unit: str  # of the loss
    label: str  # of the loss
    data_columns: tuple[str, ...]
    loss_degree: int

    @property
    def data(self) -> str:
        """The column that counts the data."""
        return self.data_columns[0]

    @property
    def data_label(self) -> str:
        """The label of the data sizes."""
        return f"training {self.examples}"

    @property
    def counted(self) -> dict[str, tuple[str, ...]]:
        """The columns that count data, parameters and compute; no times, which depend on the load of a machine."""
        return {
            "data": self.data_columns,
            "parameters": (PARAMETERS, "parameters_total", "parameters_matrices"),
            "compute": ("flops", "flops_6nd"),
        }


ARMS = {
    "language": Arm(
        examples="molecules",
        header="corpus.json",
        task="chemscale.training.tasks.language:LanguageTask",
        loss="test_loss",
        unit="nats per token",
        label="test loss",
        data_columns=("train_molecules", "train_tokens"),
        loss_degree=1,
    ),
    "potential": Arm(
        examples="structures",
        header="geometries.json",
        task="chemscale.training.tasks.potential:PotentialTask",
        loss="test_force_mae",
        unit="eV/Å",
        label="test MAE of forces",
        data_columns=("train_structures", "train_atoms", "train_force_labels"),
        loss_degree=2,
    ),
}
