"""Real molecules for the benchmarks of the language arm, as a token store in a temporary directory."""

import itertools
from pathlib import Path

from chemscale.data.sources import fetch
from chemscale.molecules.corpus import encode
from chemscale.molecules.embedded import embedded_molecules
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.molecules.store import Corpus, open_corpus

PUBCHEM = Path(__file__).parents[2].parent / "shared" / "data" / "smiles" / "pubchem_standin_flat.txt.zip"
HELD_OUT = 50  # molecules of validation, and of test
ENTRY = {
    "arm": "language",
    "source": "file",
    "validation": HELD_OUT,
    "test": HELD_OUT,
    "seed": 0,
    "max_tokens": 512,
    "max_failure_share": 0.1,
}


def corpus(directory: Path, molecules: int) -> Corpus:
    """About `molecules` of them to train on: the first of the PubChem-like file if it is there, else of RDKit's."""
    if PUBCHEM.exists():
        smiles = (line.text for line in read_lines(PUBCHEM, layout_of(PUBCHEM)))
    else:
        smiles = (text for text, _ in embedded_molecules(["wehi"]))
    path = directory / "molecules.smi"
    path.write_text("".join(f"{text}\n" for text in itertools.islice(smiles, molecules + 2 * HELD_OUT)))
    fetch("benchmark", ENTRY | {"path": str(path)}, directory)
    encode(directory)
    return open_corpus(directory)
