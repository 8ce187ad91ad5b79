"""From blocks of labelled geometries to a store, in memory that does not grow with the atoms there are.

Blocks are appended to raw arrays on disk as they come. When all are there, the order of the structures follows from the
molecules they are of, and the raw arrays are copied in that order, some thousand structures at a time.
"""

import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, fingerprint, sha256, write_json
from chemscale.geometries.charge_spin import ELECTRONS, NAMED
from chemscale.geometries.report import as_text, describe
from chemscale.geometries.store import ARRAYS, flat_index
from chemscale.molecules.identity import digest, first_occurrences

FAILURES = ["molecule", "smiles", "geometry", "geometries", "reason"]
CLOSEST = 0.4  # Å; the shortest bond, of H2, has 0.74 Å
COPIED = 20_000  # structures copied at a time
# what is kept of a block until the order is known
RAW = {key: ARRAYS[key] for key in ("z", "positions", "forces", "energy", "group")} | ELECTRONS
RAW |= {
    "n_atoms": np.int32,  # (S,)
    "closest": np.float32,  # (S,), Å, distance of the closest two atoms; infinite for one atom
    "digest": "V16",  # (S,), of atomic numbers, positions, charge and unpaired electrons
}


class Block(NamedTuple):
    """K geometries of molecules with the same atoms."""

    z: np.ndarray  # (A,)
    positions: np.ndarray  # (K, A, 3), Å
    energy: np.ndarray  # (K,), eV
    forces: np.ndarray  # (K, A, 3), eV/Å
    group: np.ndarray  # (K,) molecule
    charge: np.ndarray | None = None  # (K,), elementary charges; None: neutral
    unpaired: np.ndarray | None = None  # (K,), unpaired electrons; None: closed shell


def write_store(
    directory: Path | str,
    name: str,
    entry: dict,
    blocks: Iterable[Block],
    groups: list[str],
    failures: list[dict],
    facts: dict,
    judge: Callable[[dict], None] | None = None,
) -> dict:
    """Split, order and write structures; return the header, which is written last (`geometries.json`).

    `groups` are the names (SMILES or formula) of the molecules, `failures` what could not be labelled, `facts` more for
    the header; all three may grow while `blocks` are drawn. Structures with overlapping atoms are failures too, and of
    equal ones the first is kept. The entry's `unseen_molecules` are kept whole out of training; of the rest one
    permutation, seeded by `seed`, gives `test`, `validation` and then training; with `training_structures` 0 all are
    `test`. `sanity.json` and `sanity.txt` describe the structures; `judge` sees that report before there is a store,
    and may raise.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "geometries.json").unlink(missing_ok=True)
    parts = directory / "parts"
    shutil.rmtree(parts, ignore_errors=True)  # of a process that was killed
    parts.mkdir()
    try:
        _append(parts, blocks, groups, failures)
        raw = _raw(parts)
        total = len(raw["energy"])
        lost = _require_few_failures(directory, name, entry, failures, total)
        first = first_occurrences(raw["digest"].view(np.uint64).reshape(-1, 2))
        rows = np.flatnonzero(first == np.arange(total))  # (S,); equal structures in two splits would leak
        order, counts = _split(name, entry, raw["group"][rows])
        report = describe(raw, rows, facts.get("method")) | {
            "not_computed": facts.get("not_computed", 0),
            "duplicates": total - len(rows),
            "refused": _by_reason(failures),
        }
        write_json(directory / "sanity.json", report)
        (directory / "sanity.txt").write_text(as_text(name, report))
        if judge:
            judge(report)
        kept = {key: raw[key][rows[order]] for key in ELECTRONS} if set(NAMED) & set(entry) else {}
        _write_arrays(directory, raw, rows[order], kept)
    finally:
        shutil.rmtree(parts)
    write_json(directory / "groups.json", groups)
    hashes = {f"{key}.npy": sha256(directory / f"{key}.npy") for key in (*ARRAYS, *kept)}
    header = {
        "name": name,
        "entry": entry,
        "units": {"positions": "Å", "energy": "eV", "forces": "eV/Å"},
        "structures": {"total": len(rows), **counts},
        "atoms": report["atoms"],
        "atoms_per_structure": report["atoms_per_structure"]["mean"],
        "molecules": report["molecules"],
        "elements": list(report["elements"]),
        "force_std": report["force_std"],
        "force_max": report["force_max"],
        "failures": {"geometries": lost, "share": lost / (total + lost)},
        "duplicates": report["duplicates"],
        **{f"structures_with_{key}": int(np.count_nonzero(numbers)) for key, numbers in kept.items()},
        **facts,
        "sha256": hashes,
        "fingerprint": fingerprint(hashes),
    }
    write_json(directory / "geometries.json", header)
    return header


def _append(parts: Path, blocks: Iterable[Block], groups: list[str], failures: list[dict]) -> None:
    """Write what is to be kept of the blocks to raw files; what overlaps joins the failures."""
    with ExitStack() as stack:
        files = {key: stack.enter_context(open(parts / key, "wb")) for key in RAW}
        for block in blocks:
            positions = np.asarray(block.positions, np.float32)
            closest = closest_atoms(positions)
            for k in np.flatnonzero(closest < CLOSEST):
                number = int(block.group[k])
                where = {"molecule": number, "smiles": groups[number], "geometry": int(k), "geometries": 1}
                failures.append({**where, "reason": f"atoms closer than {CLOSEST} Å"})
            good = closest >= CLOSEST
            none = np.zeros(len(positions), np.int8)
            charge, unpaired = (none if n is None else np.asarray(n) for n in (block.charge, block.unpaired))
            z = np.asarray(block.z, np.uint8)
            values = {
                "z": np.tile(z, good.sum()),
                "positions": positions[good],
                "forces": np.asarray(block.forces)[good],
                "energy": np.asarray(block.energy)[good],
                "group": np.asarray(block.group)[good],
                "charge": charge[good],
                "unpaired": unpaired[good],
                "n_atoms": np.full(good.sum(), len(z)),
                "closest": closest[good],
            }
            for key, value in values.items():
                files[key].write(np.ascontiguousarray(value, RAW[key]))
            electrons = np.stack([values[key] for key in ELECTRONS], 1).astype(np.int8)  # (K, 2)
            for geometry, own in zip(values["positions"], electrons, strict=True):
                content = z.tobytes() + geometry.tobytes() + own.tobytes()
                files["digest"].write(digest(content))


def closest_atoms(positions: np.ndarray) -> np.ndarray:
    """Distance (K,) of the closest two atoms of each of `positions` (K, A, 3), infinite where there is one atom."""
    count, atoms, _ = positions.shape
    closest = np.full(count, np.inf, np.float32)
    for i in range(1, atoms):  # an atom against those before it, of all geometries at once: (K, i)
        apart = ((positions[:, :i] - positions[:, i : i + 1]) ** 2).sum(-1)
        np.minimum(closest, np.sqrt(apart.min(1)), out=closest)
    return closest


def _raw(parts: Path) -> dict[str, np.ndarray]:
    """The raw arrays, those of atoms as memory maps, and `offsets` (S+1,)."""
    raw = {}
    for key, dtype in RAW.items():
        path = parts / key
        shape = (-1, 3) if key in ("positions", "forces") else (-1,)
        of_atoms = key in ("z", "positions", "forces") and path.stat().st_size
        raw[key] = (np.memmap(path, dtype, "r") if of_atoms else np.fromfile(path, dtype)).reshape(shape)
    return raw | {"offsets": np.append(0, np.cumsum(raw["n_atoms"], dtype=np.int64))}


def _by_reason(failures: list[dict]) -> dict[str, int]:
    return {
        k: int(n) for k, n in pd.DataFrame(failures, columns=FAILURES).groupby("reason")["geometries"].sum().items()
    }


def _require_few_failures(directory: Path, name: str, entry: dict, failures: list[dict], kept: int) -> int:
    """Write `failures.parquet`; return the number of geometries lost, unless it is too large or all that there is."""
    with atomic(directory / "failures.parquet") as temporary:
        pd.DataFrame(failures, columns=FAILURES).to_parquet(temporary, index=False)
    lost = sum(row["geometries"] for row in failures)
    if failures and lost > entry["max_failure_share"] * (kept + lost):
        raise ChemscaleError(
            f"{name}: {lost:,} of {kept + lost:,} geometries failed, more than max_failure_share "
            f"{entry['max_failure_share']:g} allows: {_by_reason(failures)}; see {directory / 'failures.parquet'}"
        )
    if not kept:
        raise ChemscaleError(f"{name}: there is no geometry with energy and forces")
    return lost


def _split(name: str, entry: dict, group: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Order (S,) in which structures are stored, and the number in each split."""
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
            f"{name}: {len(group):,} structures of {len(molecules):,} molecules leave none to train on after "
            f"{counts['unseen']:,} of {entry['unseen_molecules']} unseen_molecules, test {entry['test']:,} and "
            f"validation {entry['validation']:,}"
        )
    return order, counts


def _write_arrays(directory: Path, raw: dict[str, np.ndarray], order: np.ndarray, electrons: dict) -> None:
    """The arrays of a store, of the structures `order` (S,); those of `electrons` are in that order."""
    lengths = raw["n_atoms"][order].astype(np.int64)
    atoms = int(lengths.sum())
    for key in ("z", "positions", "forces"):
        with atomic(directory / f"{key}.npy") as temporary, open(temporary, "wb") as file:
            shape = (atoms, *raw[key].shape[1:])
            head = {"descr": npy.dtype_to_descr(raw[key].dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, head)
            for first in range(0, len(order), COPIED):
                part = slice(first, first + COPIED)
                file.write(raw[key][flat_index(raw["offsets"][order[part]], lengths[part])])
    offsets = np.append(0, np.cumsum(lengths))
    small = {"energy": raw["energy"][order], "group": raw["group"][order], "offsets": offsets, **electrons}
    for key, array in small.items():
        with atomic(directory / f"{key}.npy") as temporary:
            np.save(temporary, array)
