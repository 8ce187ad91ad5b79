"""Who is held out: molecules drawn by a seed, or those the file itself holds out."""

import numpy as np

from chemscale.errors import ChemscaleError


def arrange(name: str, entry: dict, own: np.ndarray) -> tuple[dict[str, int], np.ndarray]:
    """Molecules of each split, in the order stored, and the order (N,) of all molecules.

    `own` (N,) is the place of each distinct molecule's split among the entry's `splits`; all 0 where it names none.
    Then test, validation and train are cut from one permutation by the entry's seed. Else the file's splits are kept,
    each permuted; validation, if it is not among them, is drawn from the file's train. Either way a prefix of train is
    a fair sample of it and part of every longer one. Raises ChemscaleError if a split would be empty.
    """
    generator = np.random.default_rng(entry["seed"])
    if "splits" in entry:
        members = {split: generator.permutation(np.flatnonzero(own == n)) for n, split in enumerate(entry["splits"])}
        train = members.pop("train")
        if "validation" in members:
            validation = members.pop("validation")
        else:
            validation, train = np.split(train, [entry["validation"]])
    else:
        cuts = np.cumsum([entry["test"], entry["validation"]])
        test, validation, train = np.split(generator.permutation(len(own)), cuts)
        members = {"test": test}
    members |= {"validation": validation, "train": train}
    counts = {split: len(rows) for split, rows in members.items()}
    if min(counts.values()) == 0:
        asked = {split: entry.get(split, count) for split, count in counts.items() if split != "train"}
        held_out = ", ".join(f"{split} {count:,}" for split, count in asked.items())
        raise ChemscaleError(
            f"{name}: {len(own):,} distinct molecules cannot be split into {held_out} "
            "and at least one to train on; every split needs one"
        )
    return counts, np.concatenate(list(members.values()))
