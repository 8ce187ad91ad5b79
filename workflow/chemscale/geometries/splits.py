"""The split that each structure of a dataset belongs to."""

import numpy as np

from chemscale.errors import ChemscaleError


def assign_splits(name: str, entry: dict, group: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Return the order (S,) in which to store structures of the molecules `group` (S,), and the size of each split.

    The entry's `unseen_molecules` are kept whole out of training; of the other structures one permutation, seeded by
    `seed`, gives `test`, `validation` and then training. With `training_structures` 0 all are `test`.
    """
    generator = np.random.default_rng(entry["seed"])
    molecules = generator.permutation(np.unique(group))
    if entry.get("training_structures") == 0:
        return generator.permutation(len(group)), {"unseen": 0, "test": len(group), "validation": 0, "train": 0}
    unseen = np.isin(group, molecules[: entry["unseen_molecules"]])
    order = np.concatenate([np.flatnonzero(unseen), generator.permutation(np.flatnonzero(~unseen))])
    counts = {"unseen": int(unseen.sum()), "test": entry["test"], "validation": entry["validation"]}
    counts["train"] = len(group) - sum(counts.values())
    if counts["train"] <= 0:
        raise ChemscaleError(
            f"{name}: no structures left for training: {len(group):,} structures of {len(molecules):,} molecules minus "
            f"{counts['unseen']:,} of unseen_molecules = {entry['unseen_molecules']}, test = {entry['test']:,} and "
            f"validation = {entry['validation']:,}; lower these"
        )
    return order, counts
