"""The settings of a cell and of a sweep: all that decides a result, typed in the library and plain JSON on disk.

The JSON is the parameter of the rule and enters the fingerprints of records and checkpoints. So a key that is absent
stays absent: `to_json` returns what `from_json` was given, keys sorted.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from chemscale.config.study_models import (
    LanguageTraining,
    LearningRate,
    PotentialTraining,
    Precision,
    Steps,
    Tune,
)
from chemscale.typed import Count, Keys, key


class LanguageCellTraining(LanguageTraining):
    """The training of a language cell; cells from before `precision` was a key were trained in float32."""

    precision: Precision = key(LanguageTraining.model_fields["precision"].description or "", "float32")


TRAINING: dict[str, type[LanguageCellTraining] | type[PotentialTraining]] = {
    "language": LanguageCellTraining,
    "potential": PotentialTraining,
}

SEEDS_PER_REPETITION = 1000  # more than any cell has


class RunSettings(Keys):
    """Keys that the settings of a cell and of a sweep share."""

    arm: Literal["language", "potential"] = key("arm of the study")
    family: str = key("model family")
    depth: Count | None = key("interaction layers (potential only)", None)
    seed: Annotated[int, Field(ge=0)] = key("seed of the initial weights and of the order of batches")
    repetition: Annotated[int, Field(ge=0)] = key("number of the study's repetition; 0 is left out", 0)
    dataset: str = key("folder of the dataset")
    training: LanguageTraining | PotentialTraining = key("how the cell is trained")
    recipe: Count = key("number that is raised when a change of code changes results")

    @field_validator("training", mode="wrap")
    @classmethod
    def _of_its_arm(cls, value: Any, handler: Any, info: ValidationInfo) -> LanguageTraining | PotentialTraining:
        if isinstance(value, LanguageTraining | PotentialTraining) or "arm" not in info.data:
            return value
        return TRAINING[info.data["arm"]].model_validate(value)

    @property
    def random_seed(self) -> int:
        """The seed of all random numbers of the training; it differs between seeds and between repetitions."""
        return self.seed + SEEDS_PER_REPETITION * self.repetition

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON that the settings were made from, keys sorted."""
        return _sorted(super().to_json())


class CellSettings(RunSettings):
    """The settings of a cell, or of a trial, which is a cell of a sweep and has no place in the grid."""

    NULLABLE: ClassVar = frozenset({"tuning"})

    width: Count = key("feature dimension")
    data: Count = key("training examples")
    learning_rate: LearningRate = key('peak learning rate, or "tuned"')
    study: str | None = key("name of the study", None)
    size: str | None = key("label of the size, such as w64 or d2-w32", None)
    tuning: str | None = key("file of the tuned learning rates, null if none is tuned", None)
    tune: Tune | None = key("the sweep that a trial belongs to", None)


class SweepSettings(RunSettings):
    """The settings of a family's sweep of learning rates."""

    tune: Tune = key("the sweep")

    def trial(self, width: int, learning_rate: float, batch_tokens: int | None) -> CellSettings:
        """Return the settings of one trial; trials of all batches see equally many tokens (None: batches of atoms)."""
        own = self.training.batch_tokens
        total = round(self.tune.steps * own / batch_tokens) if own and batch_tokens else self.tune.steps
        steps = Steps(per_sqrt_example=0, epochs=0, minimum=total, maximum=total)
        training = self.training.replace(steps=steps, **({"batch_tokens": batch_tokens} if batch_tokens else {}))
        own_keys = {"width": width, "learning_rate": learning_rate, "data": self.tune.data, "training": training}
        return CellSettings.model_validate({name: getattr(self, name) for name in self.model_fields_set} | own_keys)


def _sorted(value: Any) -> Any:
    return {name: _sorted(value[name]) for name in sorted(value)} if isinstance(value, dict) else value
