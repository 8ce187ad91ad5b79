"""The report on a store, which shows at a glance what is wrong with it: `sanity.json` and `sanity.txt`."""

import numpy as np
from ase.data import chemical_symbols

from chemscale.errors import counted
from chemscale.geometries.charge_spin import ELECTRONS
from chemscale.geometries.unit_checks import describe_verdict
from chemscale.geometries.unit_ratios import unit_ratios
from chemscale.rows import flat_index

CHUNK_STRUCTURES = 20_000  # looked at together, which bounds the memory
RELABELLED_STRUCTURES = 4
DISPLACEMENT = 5e-3  # Å, of all atoms together, in the finite difference


def describe(arrays: dict[str, np.ndarray], rows: np.ndarray, method: str | None) -> dict:
    """Return facts on the structures `rows` of `arrays`: `store.ARRAYS` before they are shuffled, and `closest` (S,).

    Energies are in eV, forces in eV/Å, distances in Å. `consistency` has the ratios of `unit_ratios`, `remade` the
    differences of `_relabelled`, for labels of GFN2-xTB only.
    """
    n_atoms = np.diff(arrays["offsets"])[rows]
    per_atom = arrays["energy"][rows] / n_atoms
    elements = np.zeros(len(chemical_symbols), int)
    total = squares = largest = 0.0
    for first in range(0, len(rows), CHUNK_STRUCTURES):
        part = rows[first : first + CHUNK_STRUCTURES]
        atoms = flat_index(arrays["offsets"][part], n_atoms[first : first + CHUNK_STRUCTURES])
        forces = arrays["forces"][atoms].astype(np.float64)
        total, squares = total + forces.sum(), squares + (forces**2).sum()
        largest = max(largest, float(np.abs(forces).max()))
        elements += np.bincount(arrays["z"][atoms], minlength=len(elements))
    components = 3 * int(n_atoms.sum())
    closest = arrays["closest"][rows]
    closest = closest[np.isfinite(closest)]  # not that of single atoms
    return {
        "structures": len(rows),
        "atoms": int(n_atoms.sum()),
        "molecules": len(np.unique(arrays["group"][rows])),
        "elements": {chemical_symbols[z]: int(elements[z]) for z in np.flatnonzero(elements)},
        "atoms_per_structure": _range(n_atoms),
        "energy_per_atom": _range(per_atom),
        "force_rms": float(np.sqrt(squares / components)),
        "force_std": float(np.sqrt(squares / components - (total / components) ** 2)),
        "force_max": largest,
        "closest_atoms": _range(closest) if len(closest) else None,
        "consistency": unit_ratios(arrays, rows),
        "remade": _relabelled(arrays, rows) if method == "GFN2-xTB" else None,
    }


def as_text(name: str, report: dict) -> str:
    """Return the report for readers."""
    ratios, refused = report["consistency"], report["refused"]
    lines = [
        f"{name}: {report['structures']:,} structures of {report['molecules']:,} molecules, {report['atoms']:,} atoms",
        "elements (atoms): " + ", ".join(f"{symbol} {count:,}" for symbol, count in report["elements"].items()),
        _line("atoms per structure", report["atoms_per_structure"], ""),
        _line("energy per atom", report["energy_per_atom"], "eV"),
        f"force components: rms {report['force_rms']:.3f}, largest {report['force_max']:.2f} eV/Å",
        _line("closest atoms of a structure", report["closest_atoms"], "Å"),
        f"not computed {report['not_computed']:,}, duplicates dropped {report['duplicates']:,}",
        "refused: " + (counted(refused) or "none"),
        "left out by the entry or for lack of labels: "
        + (", ".join(f"{count:,} × {reason}" for reason, count in report.get("dropped", {}).items()) or "none"),
        f"splits: {report['audit']['statement']}",
        f"energy differences over work of the forces: {_number(ratios['work'])} (expected 1; correlation "
        f"{_number(ratios['correlation'])} over {ratios['pairs']:,} near pairs)",
        f"stiffness of C–H bonds over that of infrared spectra: {_number(ratios['stiffness'])} (expected 1; "
        f"{ratios['bonds']:,} bonds)",
        f"nearest neighbours over covalent radii: {_number(ratios['distance'])} (expected 1)",
        f"energies over those of free atoms: {_number(ratios['total'])} all-electron, {_number(ratios['valence'])} of "
        "GFN2-xTB",
    ]
    if "unit_checks" in report:
        lines.append(f"units: {describe_verdict(report['unit_checks'])}")
    if report["remade"]:
        lines.append(
            f"{report['remade']['structures']} structures labelled again: energies differ by up to "
            f"{report['remade']['energy']:.2g} eV, forces by {report['remade']['forces']:.2g} eV/Å, forces from finite "
            f"differences by {report['remade']['difference']:.2g} eV/Å"
        )
    return "\n".join(lines) + "\n"


def _range(values: np.ndarray) -> dict[str, float]:
    return {"least": float(values.min()), "mean": float(values.mean()), "most": float(values.max())}


def _line(label: str, values: dict | None, unit: str) -> str:
    if values is None:
        return f"{label}: none"
    return f"{label}: {values['least']:.4g} to {values['most']:.4g} {unit}".rstrip() + f", mean {values['mean']:.4g}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _relabelled(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict:
    """Return the largest differences between stored labels and new ones, for a few structures.

    `difference` compares stored forces with central differences of new energies, along a step of all atoms.
    """
    from tblite.exceptions import TBLiteRuntimeError

    from chemscale.geometries.xtb import single_point  # a quantum chemistry program, slow to import

    worst = {"energy": 0.0, "forces": 0.0, "difference": 0.0}
    count = 0
    for row in rows[np.unique(np.linspace(0, len(rows) - 1, RELABELLED_STRUCTURES).astype(int))]:
        atoms = slice(arrays["offsets"][row], arrays["offsets"][row + 1])
        z, x, f = (arrays[key][atoms] for key in ("z", "positions", "forces"))
        x = x.astype(float)
        electrons = {key: int(arrays[key][row]) for key in ELECTRONS if key in arrays}
        step = DISPLACEMENT * f / max(float(np.linalg.norm(f)), 1e-12)
        try:
            energy, forces = single_point(z, x, **electrons)
            slope = single_point(z, x - step, **electrons)[0] - single_point(z, x + step, **electrons)[0]
        except TBLiteRuntimeError:  # charges that do not converge are no fault of the file
            continue
        count += 1
        slope /= 2 * DISPLACEMENT
        found = abs(energy - arrays["energy"][row]), np.abs(forces - f).max(), abs(slope - np.linalg.norm(f))
        worst = {key: max(worst[key], float(value)) for key, value in zip(worst, found, strict=True)}
    return {"structures": count, **worst}
