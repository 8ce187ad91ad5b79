"""Prove that no held-out molecule is in train, and count those that come close."""

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.molecules.store import Corpus

MAX_EXAMPLES = 5  # molecules that a message shows


def audit(corpus: Corpus, reduced: dict[str, np.ndarray]) -> dict:
    """Compare the molecules of each held-out split with those of train; return the counts and a sentence about them.

    The SMILES are read back from the store. `reduced` has digests (N,) of all molecules in the order of the store:
    `without_stereo` (and isotopes) and `without_charge`. Equal ones are different molecules that differ in nothing
    else; a model may predict such a molecule well because it has seen its relative. Raises ChemscaleError if a
    held-out molecule is in train.
    """
    train = corpus.rows("train")
    held_out = {split: corpus.rows(split) for split in corpus.header["splits"] if split != "train"}
    smiles = {
        split: [text for part in corpus.smiles(rows) for text in part.to_pylist()] for split, rows in held_out.items()
    }
    seen = corpus.seen(train, (text for texts in smiles.values() for text in texts))
    if seen:
        raise ChemscaleError(
            f"{corpus.directory}: {len(seen):,} held-out molecules are in train too, such as "
            f"{', '.join(sorted(seen)[:MAX_EXAMPLES])}: this is a bug in chemscale; please report it"
        )
    counts = {
        split: {"molecules": len(rows), "in_train": 0}
        | {f"in_train_{name}": int(np.isin(of[rows], of[train]).sum()) for name, of in reduced.items()}
        for split, rows in held_out.items()
    }
    near = {
        name: ", ".join(f"{split} {n[f'in_train_{name}']:,} of {n['molecules']:,}" for split, n in counts.items())
        for name in reduced
    }
    statement = (
        f"No molecule of {', '.join(held_out)} is in train. Held-out molecules that differ from one in train only in "
        f"stereochemistry or isotopes: {near['without_stereo']}; only in charge: {near['without_charge']}."
    )
    return {"statement": statement, **counts}
