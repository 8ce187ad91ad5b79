"""The keys of a study: each with its type, default, unit and description."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError, WrapValidator, model_serializer

from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS
from chemscale.typed import AsWritten, Count, Keys, Name, NonNegative, Positive, Share, key, wrong

# NFF, the code of Frey et al., halves the rate after 30 epochs of 100 without a better validation loss. Here a cell has
# some 10 evaluations: 2 of them leave room for several falls, and for one to help before `patience` (4) is over
PLATEAU_EVALUATIONS = 2  # evaluations without a gain that make a plateau


def _rising(values: list) -> list:
    if sorted(set(values)) != values:
        raise wrong(f"must rise strictly; write {sorted(set(values))}")
    return values


def _distinct(values: list) -> list:
    if len(set(values)) != len(values):
        raise wrong(f"names values twice; write {list(dict.fromkeys(values))}")
    return values


def _positive_or_tuned(value: Any, validate: Any) -> Any:
    try:
        validate(value)
    except ValidationError:
        raise wrong('expected a positive number or "tuned"') from None
    return value


Widths = Annotated[list[Count], Field(min_length=1), AfterValidator(_distinct)]
Sizes = Annotated[list[Count], Field(min_length=1), AfterValidator(_rising)]
Rates = Annotated[list[Positive], Field(min_length=3), AfterValidator(_rising)]
BatchTokens = Annotated[int, Field(ge=16)]
LearningRate = Annotated[Literal["tuned"] | Positive, WrapValidator(_positive_or_tuned)]
Precision = Literal["probe", "float32", "bfloat16"]


class Steps(Keys):
    """Optimiser steps of a cell with D examples: max(per_sqrt_example·√D, epochs·D/batch) within [minimum, maximum]."""

    per_sqrt_example: NonNegative = key("steps per √D, where D counts the training examples", 40)
    epochs: NonNegative = key("passes over the training examples", 5)
    minimum: Count = key("fewest steps of a cell", 400)
    maximum: Count = key("most steps of a cell", 1_000_000)

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield minimum if it is above maximum."""
        if self.minimum > self.maximum:
            yield "minimum", f"is above maximum, {self.maximum}; lower it or raise maximum"

    def budget(self, examples: int, examples_per_step: float) -> int:
        """Return the optimiser steps of a cell with `examples` of training data.

        Small data get √D steps, large data epochs. Equal steps for all D would leave the large ones under-trained,
        equal epochs the small ones.
        """
        steps = max(self.per_sqrt_example * math.sqrt(examples), self.epochs * examples / examples_per_step)
        return round(min(max(steps, self.minimum), self.maximum))


class Training(Keys):
    """How the cells of either arm are trained, with AdamW."""

    steps: Steps = key(
        "optimiser steps of a cell with D examples: max(per_sqrt_example·√D, epochs·D/batch), "
        "kept within minimum and maximum",
        Steps,
    )
    evaluations: Count = key("evaluations on the validation split over all steps", 10)
    patience: Count = key("evaluations without improvement before a run stops", 4)
    weight_decay: NonNegative = key("AdamW's decay of the weight matrices", 0.1)
    warmup: Share = key("share of the steps over which the learning rate rises", 0.1)
    schedule: Literal["cosine", "constant", "cooldown", "plateau"] = key(
        "learning rate after the warm-up: cosine = down to zero; constant; cooldown = constant, then down to zero over "
        f"the last fifth; plateau = halved after every {PLATEAU_EVALUATIONS} evaluations without improvement",
        "cosine",
    )
    clip: Positive = key("largest norm of the gradient", 1.0)

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield what ends a run before a plateau can lower its rate."""
        for name, least in {"patience": PLATEAU_EVALUATIONS + 1, "evaluations": PLATEAU_EVALUATIONS + 2}.items():
            if self.schedule == "plateau" and getattr(self, name) < least:
                yield name, f"too small for schedule: plateau; write {least} or more"


class LanguageTraining(Training):
    """How the cells of the language arm are trained."""

    ema: ClassVar[float] = 0.0  # no average of the weights in this arm

    batch_tokens: BatchTokens = key("tokens in a batch, padding included", 1200, unit="tokens")
    accumulate: Count = key("micro-batches that a batch is computed in, to save memory; changes no result", 1)
    precision: Precision = key(
        "precision of matrix products; probe = time both, compiled on a GPU too, where more than three minutes of "
        "training lie ahead, else float32",
        "probe",
    )


class LossWeights(Keys):
    """Weights of the terms of the potential arm's loss."""

    energy: NonNegative = key("weight of the squared error of the energy per atom", 0.05, unit="1/eV²")
    force: NonNegative = key("weight of the squared error of the forces", 0.95, unit="Å²/eV²")


class PotentialTraining(Training):
    """How the cells of the potential arm are trained."""

    batch_tokens: ClassVar[None] = None  # batches are counted in atoms
    precision: ClassVar[Precision] = "float32"
    IMPLICIT: ClassVar = ("accumulate", "ema")  # in settings only where named: older cells were trained without them

    batch_atoms: Count = key("atoms in a batch", 96, unit="atoms")
    cutoff: Positive = key("radius of an atom's neighbourhood", 5.0, unit="Å")
    loss: LossWeights = key("weights of the terms of the loss", LossWeights)
    accumulate: Count = key("micro-batches that a batch is computed in, to save memory; changes no result", 1)
    ema: Annotated[float, Field(ge=0, lt=1), AsWritten] = key(
        "decay per step of an average of the weights, such as 0.99, that is evaluated and kept instead of the weights; "
        "0 = none",
        0.0,
    )

    @model_serializer(mode="wrap")
    def _leave_out(self, serialise: Any) -> dict[str, Any]:
        content = serialise(self)
        return {name: content[name] for name in content if name not in self.IMPLICIT or name in self.model_fields_set}


class Tune(Keys):
    """The sweep of learning rates over small models; most trials stop early."""

    widths: Widths = key("widths of the trials")
    batch_tokens: Annotated[list[BatchTokens], Field(min_length=1)] | None = key(
        "batches to sweep too, the one of `training` among them (language only); all see equally many tokens",
        None,
        unit="tokens",
    )
    learning_rates: Rates = key(
        "learning rates of the trials, rising; of three, none stops early; where the best lies at an end, up to three "
        "more are tried"
    )
    data: Count = key("training examples of a trial")
    steps: Annotated[int, Field(ge=4)] = key("optimiser steps of a trial that runs to its end, at the study's batch")


class Seeds(Keys):
    """Runs of a cell, which differ in initial weights and order of batches."""

    small_half: Count = key("seeds per size at the smaller half of the data sizes (of five sizes, the two smallest)", 2)
    large_half: Count = key("seeds per size at the other data sizes", 1)


class LanguageGrid(Keys):
    """The models of a family of the language arm."""

    widths: Widths = key("feature dimensions of the models: the sizes of the family")
    learning_rate: LearningRate = key('peak learning rate, or "tuned": found by `tune` and its rule', "tuned")


class PotentialGrid(LanguageGrid):
    """The models of a family of the potential arm."""

    depths: Annotated[list[Count], Field(min_length=1)] = key(
        "numbers of interaction layers, each with every width", [2]
    )


class Generate(Keys):
    """Molecules that the models of seed 0 generate."""

    molecules: Count = key("molecules per cell", 500)
    temperature: Positive = key("divisor of the logits; 1 = the distribution that was learnt", 1.0)
    reference: Annotated[int, Field(ge=2)] = key(
        "training molecules whose properties are compared with those of generated ones, the same for every cell", 5000
    )


class Simulate(Keys):
    """Dynamics and relaxations by the models of seed 0."""

    molecules: Count = key("held-out molecules to simulate, the same for every cell", 16)
    temperature: Positive = key("temperature of the dynamics", 500.0, unit="K")
    picoseconds: Positive = key("length of the dynamics", 0.5, unit="ps")
    step_fs: Positive = key("time step of the dynamics", 0.5, unit="fs")


class Arm(Keys):
    """Keys that both arms have."""

    dataset: Name = key("name of a dataset in resources/datasets.yaml or under `datasets`")
    seeds: Seeds = key("runs per cell", Seeds)
    gpus: Count = key("GPUs of one machine that each cell too large for a CPU trains on", 1)
    tune: Tune | None = key("sweep of learning rates; needed where a learning rate is tuned", None)
    recipe: Count = key(
        "number to raise when a change of code changes results, so that finished cells are retrained", 2
    )


class LanguageArm(Arm):
    """ChemGPT models on SELFIES."""

    families: Annotated[dict[str, LanguageGrid], Field(min_length=1)] = key("model families by name")
    data: Sizes = key("sizes of the training subsets, rising; each contains the smaller ones", unit="molecules")
    training: LanguageTraining = key("how cells are trained", LanguageTraining)
    generate: Generate | None = key("molecules that each cell's first run generates; left out = none", None)


class PotentialArm(Arm):
    """Neural force fields on energies and forces."""

    families: Annotated[dict[str, PotentialGrid], Field(min_length=1)] = key("model families by name")
    data: Sizes = key("sizes of the training subsets, rising; each contains the smaller ones", unit="structures")
    training: PotentialTraining = key("how cells are trained", PotentialTraining)
    simulate: Simulate | None = key(
        "dynamics and relaxations of held-out molecules by each cell's first run; left out = none", None
    )
    evaluate_on: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)] | None = key(
        "datasets of the same `method` that every run is evaluated on too, all structures of each; left out = none",
        None,
    )


ARM_MODELS: dict[str, type[LanguageArm] | type[PotentialArm]] = {"language": LanguageArm, "potential": PotentialArm}


class Scaling(Keys):
    """How laws are fitted."""

    confidence: Annotated[float, Field(gt=0, lt=1), AsWritten] = key(
        "confidence level of every interval", DEFAULT_CONFIDENCE
    )
    draws: Annotated[int, Field(ge=100)] = key("bootstrap draws per interval", DEFAULT_DRAWS)
    seed: Annotated[int, Field(ge=0)] = key("seed of the bootstrap", 0)


class Study(Keys):
    """A study. A key that is left out takes its default; an unknown key is an error."""

    study: Name = key("name of the study; its results go to results/<study>/")
    repetition: Annotated[int, Field(ge=0)] = key(
        "number of the repetition: 1, 2, … draw other training subsets, initial weights and orders of batches; their "
        "results go to results/<study>-repetition<number>/",
        0,
    )
    results_source: Literal["trained", "finished", "cached"] = key(
        "trained = train what is missing; finished = use the runs that exist and list the others as missing; "
        "cached = draw from tables and fits that exist, train and fit nothing",
        "trained",
    )
    language: LanguageArm | None = key("the arm of ChemGPT models on SELFIES", None)
    potential: PotentialArm | None = key("the arm of neural force fields on energies and forces", None)
    scaling: Scaling = key("how laws are fitted", Scaling)
    datasets: dict[Name, dict[str, Any]] = key("datasets of your own, with the keys of resources/datasets.yaml", {})

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield a study without an arm, and names whose results would lie in the folder of something else."""
        if self.language is None and self.potential is None:
            yield "", "neither language nor potential is given; a study needs at least one arm"
        if self.study == "data" or (self.study == "reference" and self.results_source != "cached"):
            yield "study", f"results/{self.study}/ holds other files, which it would overwrite; choose another name"
