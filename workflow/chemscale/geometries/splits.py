"""The split that each structure of a dataset belongs to, and the proof that no split leaks into another."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.geometries.measures import bond_limit
from chemscale.geometries.molecule_names import read_name
from chemscale.molecules.identity import without_charge, without_stereo

MAX_ENERGY_DIFFERENCE = 1e-3  # eV, between equal geometries; more is not rounding
MAX_FORCE_DIFFERENCE = 1e-2  # eV/Å
HASH_ROUNDS = 4  # the label of an atom depends on bonds up to this far from it


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


def require_equal_labels(name: str, raw: Mapping[str, np.ndarray], first: np.ndarray) -> None:
    """Raise ChemscaleError if equal geometries have different labels; `first` (S,) is the first one equal to each."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    energies = np.abs(raw["energy"][copies] - raw["energy"][first[copies]])
    wrong = energies > MAX_ENERGY_DIFFERENCE
    largest = 0.0
    for k, copy in enumerate(copies):
        own, other = (raw["forces"][slice(*raw["offsets"][s : s + 2])] for s in (copy, first[copy]))
        difference = float(np.abs(own - other).max())
        wrong[k] |= difference > MAX_FORCE_DIFFERENCE
        largest = max(largest, difference)
    if wrong.any():
        raise ChemscaleError(
            f"{name}: {int(wrong.sum()):,} geometries equal another one but have other labels: energies differ by up "
            f"to {energies.max():.3g} eV, forces by up to {largest:.3g} eV/Å; keep one of each in the file, or name "
            "what tells them apart in `charge` or `spin`"
        )


def audit(
    name: str, groups: Sequence[str], raw: Mapping[str, np.ndarray], rows: np.ndarray, counts: Mapping[str, int]
) -> dict[str, int | str]:
    """Return what structures `rows` (S,) of `raw` arrays, in the order of the store, show about leaks, in words too.

    `name` is that of the dataset, `groups` are those of the molecules, `counts` the sizes of the splits. Raises
    ChemscaleError for an unseen molecule that is in another split, and for a structure that is in two.
    """
    group, digests = raw["group"][rows], raw["digest"][rows]
    unseen, first_unseen = np.unique(group[: counts["unseen"]], return_index=True)
    rest, first_rest = np.unique(group[counts["unseen"] :], return_index=True)
    shared = len(np.intersect1d(unseen, rest)) + len(digests) - len(np.unique(digests))
    if shared:
        raise ChemscaleError(
            f"{name}: {shared:,} molecules or structures are in two splits: this is a bug in chemscale; "
            "please report it"
        )
    found: dict[str, int | str] = {}
    if counts["train"]:
        statement = "no structure of test or validation is in train"
        if counts["unseen"]:
            statement = "no unseen molecule is in another split, and " + statement
            smiles = [[groups[k] for k in part if read_name(groups[k]).z] for part in (unseen, rest)]
            for key, reduced in (("stereo", without_stereo), ("charge", without_charge)):
                known = {reduced(molecule) for molecule in smiles[1]}
                found[f"unseen_but_for_{key}"] = sum(reduced(molecule) in known for molecule in smiles[0])
            bonds = [
                [_bonds_of(raw, row) for row in rows[part]] for part in (first_unseen, first_rest + counts["unseen"])
            ]
            found["unseen_but_for_name"] = int(np.isin(*bonds).sum())
            statement += (
                f"; of {len(unseen):,} unseen molecules {found['unseen_but_for_stereo']:,} differ from another one by "
                f"stereochemistry or isotopes only, {found['unseen_but_for_charge']:,} by charge only, and "
                f"{found['unseen_but_for_name']:,} have the atoms and bonds of another one"
            )
        found["statement"] = statement
    else:
        found["statement"] = "all structures are test structures"
    return found


def _bonds_of(raw: Mapping[str, np.ndarray], row: int) -> int:
    atoms = slice(*raw["offsets"][row : row + 2])
    return bond_hash(raw["z"][atoms], raw["positions"][atoms])


def bond_hash(z: np.ndarray, positions: np.ndarray) -> int:
    """Return a hash of the atoms `z` (A,) and their bonds at `positions` (A, 3), whatever the order of the atoms.

    The labels of atoms are hashed with those of their neighbours some rounds (Weisfeiler, Leman 1968).
    """
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)  # (A, A)
    bonded = ((apart < bond_limit(z[:, None], z)) & ~np.eye(len(z), dtype=bool)).astype(np.uint64)
    labels = z.astype(np.uint64)
    with np.errstate(over="ignore"):
        for _ in range(HASH_ROUNDS):
            mixed = (labels + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(29)
            labels = mixed * np.uint64(0x94D049BB133111EB) + bonded @ mixed
    digest = hashlib.blake2b(np.sort(labels).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
