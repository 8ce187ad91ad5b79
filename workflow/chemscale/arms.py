"""The arms of a study: what is measured in each, in what unit, and by which columns of the runs table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """What is fitted in an arm of the study: the loss, and the columns that count data, parameters and compute.

    The first column of `counted` is the one the fits use. `loss_degree` is the power of an error that the loss of
    training and validation is: 2 for squared errors.
    """

    loss: str
    unit: str
    label: str
    data_label: str
    counted: dict[str, tuple[str, ...]]
    loss_degree: int

    @property
    def data(self) -> str:
        """The column that counts the data."""
        return self.counted["data"][0]

    @property
    def examples(self) -> str:
        """The unit of the data: molecules or structures."""
        return self.data_label.removeprefix("training ")


PARAMETERS = "parameters"


COUNTED = {
    "parameters": (PARAMETERS, "parameters_total", "parameters_matrices"),
    "compute": ("flops", "flops_6nd", "device_seconds"),
}


ARMS = {
    "language": Arm(
        "test_loss",
        "nats per token",
        "test loss",
        "training molecules",
        {"data": ("train_molecules", "train_tokens"), **COUNTED},
        loss_degree=1,
    ),
    "potential": Arm(
        "test_force_mae",
        "eV/Å",
        "test MAE of forces",
        "training structures",
        {"data": ("train_structures", "train_atoms", "train_force_labels"), **COUNTED},
        loss_degree=2,
    ),
}


PARAMETERS_LABEL = "non-embedding parameters"
