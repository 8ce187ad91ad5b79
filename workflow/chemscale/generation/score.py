"""Score any file of generated molecules by the metrics of MOSES."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance

from chemscale.errors import ChemscaleError
from chemscale.generation.filters import passes_filters
from chemscale.generation.metrics import (
    CONFIDENCE,
    Estimate,
    diversity,
    fragments,
    jackknifed,
    nearest_similarity,
    novel,
    scaffolds,
    share,
    similarity_of_counts,
    unique,
)
from chemscale.generation.properties import PROPERTIES, properties
from chemscale.molecules.identity import canonical_smiles
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.progress import progress

FIRST = (1000, 10_000)  # molecules of unique@k
FCD = "fcd_torch"  # a library with the network of Preuer et al., J. Chem. Inf. Model. 58, 1736 (2018)


def score(
    file: Path,
    reference: Path,
    train: Path | None = None,
    column: str | None = None,
    confidence: float = CONFIDENCE,
) -> dict:
    """Return the metrics of the molecules of a file, each with its `value` and an interval from `low` to `high`.

    Names and definitions are those of MOSES (see chemscale.generation.metrics): `valid` of all lines, `unique@k` of the
    first k valid molecules, `Novelty` of the distinct ones, as far as they are not in the file `train`, or in the
    `reference` if there is none; `IntDiv`, `IntDiv2`, `Filters`; `SNN`, `Frag`, `Scaf` and the Wasserstein distances
    of properties from the molecules of the file `reference`, a test set. `FCD` is null without the library fcd_torch,
    and has no interval. `column` names the SMILES in `file`. Raises ChemscaleError if a file holds no molecules.
    """
    if not 0 < confidence < 1:
        raise ChemscaleError(f"confidence = {confidence}: must be between 0 and 1, such as 0.9")
    generated = read_smiles(file, column)
    valid = [smiles for smiles in generated if smiles]
    test = _required(reference)
    seen = test if train is None else _required(train)
    found = {"valid": share(len(valid), len(generated), confidence)}
    found |= {f"unique@{first}": unique(valid, first, confidence) for first in FIRST}
    found |= {
        "Novelty": novel(valid, seen, confidence),
        "IntDiv": diversity(valid, 1, confidence),
        "IntDiv2": diversity(valid, 2, confidence),
        "SNN": nearest_similarity(valid, test, confidence),
        "Frag": similarity_of_counts(fragments, valid, test, confidence),
        "Scaf": similarity_of_counts(scaffolds, valid, test, confidence),
        "Filters": share(_passing(valid), len(valid), confidence),
        "FCD": _fcd(valid, test, confidence),
        **_distances(valid, test, confidence),
    }
    return {
        "molecules": {"generated": len(generated), "valid": len(valid), "reference": len(test), "known": len(seen)},
        "confidence": confidence,
        "metrics": {name: estimate._asdict() for name, estimate in found.items()},
    }


def read_smiles(file: Path, column: str | None = None) -> list[str]:
    """Return the canonical SMILES of every record of a file; empty texts for what is no molecule."""
    layout = layout_of(file, column=column)
    texts = [line.text for line in read_lines(file, layout)]
    while texts and not texts[-1] and layout.form == "lines":
        texts.pop()  # blank lines at the end of a text file
    if not texts:
        raise ChemscaleError(f"{file}: the file is empty; expected one molecule per line")
    return [canonical_smiles(text, layout.form == "sdf")[0] for text in texts]


def _required(file: Path) -> list[str]:
    smiles = [text for text in read_smiles(file) if text]
    if not smiles:
        raise ChemscaleError(f"{file}: holds no molecule that can be read; use a file of SMILES")
    return smiles


def _passing(smiles: list[str]) -> int:
    """Return how many of the molecules pass the filters."""
    passing = {}
    with progress(len(set(smiles)), "filters", "molecules") as tick:
        for text in dict.fromkeys(smiles):
            passing[text] = passes_filters(text)
            tick()
    return sum(passing[text] for text in smiles)


def _distances(smiles: list[str], reference: list[str], confidence: float) -> dict[str, Estimate]:
    """Return the Wasserstein-1 distance of each property, in its unit."""
    own, other = properties(smiles), properties(reference)

    def estimate(name: str) -> Estimate:
        values, wanted = own[name].to_numpy(), other[name].to_numpy()
        return jackknifed(lambda kept: wasserstein_distance(values[kept], wanted), len(values), confidence)

    return {name: estimate(name) for name in PROPERTIES}


def _fcd(smiles: list[str], reference: list[str], confidence: float) -> Estimate:
    """Return the Fréchet ChemNet distance, if its library is installed and there are molecules enough."""
    if importlib.util.find_spec(FCD) is None or min(len(smiles), len(reference)) < 2:
        return Estimate(None)
    library = importlib.import_module(FCD).FCD(device="cpu", n_jobs=1)
    own, wanted = (library.get_predictions(texts) for texts in (smiles, reference))  # activations, each (M, 512)

    def moments(activations: np.ndarray) -> dict[str, np.ndarray]:
        return {"mu": activations.mean(axis=0), "sigma": np.cov(activations.T)}

    of_reference = moments(wanted)
    return jackknifed(lambda kept: library.metric(of_reference, moments(own[kept])), len(own), confidence)
