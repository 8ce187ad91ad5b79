"""From blocks of labelled geometries to a geometry store.

Blocks are appended to raw arrays on disk as they come. When all are there, the order of the structures follows from
their molecules, and the raw arrays are copied in that order, some thousand structures at a time.
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from chemscale.errors import ChemscaleError, counted
from chemscale.files import atomic, fingerprint, sha256, write_json
from chemscale.geometries.charge_spin import ELECTRONS, ENTRY_KEYS
from chemscale.geometries.raw_arrays import Block, open_raw_arrays, write_raw_arrays
from chemscale.geometries.report import as_text, describe
from chemscale.geometries.splits import assign_splits, audit, require_equal_labels
from chemscale.geometries.store import ARRAYS
from chemscale.geometries.unit_checks import check_units, describe_verdict, require_consistent
from chemscale.molecules.identity import first_occurrences
from chemscale.rows import flat_index

LOG = logging.getLogger(__name__)
FAILURES = ["molecule", "smiles", "geometry", "geometries", "reason"]
CHUNK_STRUCTURES = 20_000  # copied together


def write_store(
    directory: Path | str,
    name: str,
    entry: dict,
    blocks: Iterable[Block],
    groups: list[str],
    failures: list[dict],
    facts: dict,
) -> dict:
    """Split, order and write structures; return the header, which is written last (`geometries.json`).

    `groups` are the names (SMILES or formula) of the molecules, `failures` what could not be labelled, `facts` more for
    the header; all three may grow while `blocks` are drawn. Structures with overlapping atoms are failures too, and of
    equal ones the first is kept. `assign_splits` describes the splits. `sanity.json` and `sanity.txt` describe the
    structures. Where `facts` have the `file_units` that an entry declares, they are checked before there is a store.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "geometries.json").unlink(missing_ok=True)
    parts = directory / "parts"
    shutil.rmtree(parts, ignore_errors=True)  # of a process that was killed
    parts.mkdir()
    try:
        write_raw_arrays(parts, blocks, groups, failures)
        raw = open_raw_arrays(parts)
        total = len(raw["energy"])
        lost = _require_few_failures(directory, name, entry, failures, total)
        first = first_occurrences(raw["digest"].view(np.uint64).reshape(-1, 2))
        require_equal_labels(name, raw, first)
        rows = np.flatnonzero(first == np.arange(total))  # (S,); equal structures in two splits would leak
        order, counts = assign_splits(name, entry, raw["group"][rows])
        report = describe(raw, rows, facts.get("method")) | {
            "not_computed": facts.get("not_computed", 0),
            "duplicates": total - len(rows),
            "refused": _by_reason(failures),
            "audit": audit(name, groups, raw, rows[order], counts),
        }
        units = facts.get("file_units")
        if units:
            report |= {"dropped": facts["dropped"], "unit_checks": check_units(report["consistency"], units, entry)}
        write_json(directory / "sanity.json", report)
        (directory / "sanity.txt").write_text(as_text(name, report))
        if units:
            require_consistent(f"{name}: {facts['source']}", report["consistency"], units, report["unit_checks"])
            if report["unit_checks"]["unverified"] or report["unit_checks"]["skipped"]:
                LOG.warning("%s: units %s (docs/explanation/units.md)", name, describe_verdict(report["unit_checks"]))
        kept = {key: raw[key][rows[order]] for key in ELECTRONS} if set(ENTRY_KEYS) & set(entry) else {}
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
        "audit": report["audit"],
        **({"unit_checks": report["unit_checks"]} if units else {}),
        **{f"structures_with_{key}": int(np.count_nonzero(values)) for key, values in kept.items()},
        **facts,
        "sha256": hashes,
        "fingerprint": fingerprint(hashes),
    }
    write_json(directory / "geometries.json", header)
    return header


def _by_reason(failures: list[dict]) -> dict[str, int]:
    counts = pd.DataFrame(failures, columns=FAILURES).groupby("reason")["geometries"].sum()
    return {reason: int(count) for reason, count in counts.items()}


def _require_few_failures(directory: Path, name: str, entry: dict, failures: list[dict], kept: int) -> int:
    """Write `failures.parquet`; return the number of geometries lost, unless it is too large or nothing is left."""
    with atomic(directory / "failures.parquet") as temporary:
        pd.DataFrame(failures, columns=FAILURES).to_parquet(temporary, index=False)
    lost = sum(row["geometries"] for row in failures)
    if failures and lost > entry["max_failure_share"] * (kept + lost):
        raise ChemscaleError(
            f"{name}.max_failure_share = {entry['max_failure_share']:g}: {lost:,} of {kept + lost:,} geometries "
            f"failed: {counted(_by_reason(failures))}; see {directory / 'failures.parquet'}, or raise the share"
        )
    if not kept:
        raise ChemscaleError(f"{name}: no geometry has an energy and forces; check the file and the names in the entry")
    return lost


def _write_arrays(directory: Path, raw: dict[str, np.ndarray], order: np.ndarray, electrons: dict) -> None:
    """Write the arrays of a store, of the structures `order` (S,); those of `electrons` are in that order."""
    lengths = raw["n_atoms"][order].astype(np.int64)
    atoms = int(lengths.sum())
    for key in ("z", "positions", "forces"):
        with atomic(directory / f"{key}.npy") as temporary, open(temporary, "wb") as file:
            shape = (atoms, *raw[key].shape[1:])
            head = {"descr": npy.dtype_to_descr(raw[key].dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, head)
            for first in range(0, len(order), CHUNK_STRUCTURES):
                part = slice(first, first + CHUNK_STRUCTURES)
                file.write(raw[key][flat_index(raw["offsets"][order[part]], lengths[part])])
    offsets = np.append(0, np.cumsum(lengths))
    small = {"energy": raw["energy"][order], "group": raw["group"][order], "offsets": offsets, **electrons}
    for key, array in small.items():
        with atomic(directory / f"{key}.npy") as temporary:
            np.save(temporary, array)
