"""Molecular dynamics and relaxations by a trained potential: does it conserve energy, hold together, find minima?"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from ase.data import atomic_masses

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, finite, read_table, write_json
from chemscale.geometries.dynamics import dynamics, kinetic_energies, thermal_velocities
from chemscale.geometries.molecule_names import read_name
from chemscale.models.loading import Potential, read_metrics
from chemscale.simulation.calculator import PotentialCalculator
from chemscale.simulation.predict import predict, require_known
from chemscale.simulation.relaxation import COLUMNS, compare_minima, relaxed
from chemscale.simulation.stability import broken, drift, find_bonds

FRICTION = 0.01  # 1/fs, of the heat bath
CHECK_INTERVAL = 10  # steps between two looks at energies and bonds


def simulate(record: Path, minima: Path, out: Path, summary: Path | None = None, **settings) -> dict:
    """Simulate the molecules of `minima` (by write_minima) with a trained potential; return the summary.

    Writes one row per molecule to `out` (Parquet; columns: `run_dynamics` and `compare_minima`) and the summary to
    `summary`, by default `out` with the suffix .json; `summarise` describes its `dynamics`. `settings` are those of
    `run_dynamics`. A failed run has no weights: the table is empty then, and the summary has the reason.
    """
    metrics = read_metrics(record)
    content = {"fingerprint": metrics.get("fingerprint"), **settings}
    if metrics.get("status") == "failed":
        table, content["reason"], content["dynamics"] = pd.DataFrame({"molecule": []}), metrics["reason"], {}
    else:
        starts = _read_minima(minima)
        calculator = PotentialCalculator(record, device="cuda" if torch.cuda.is_available() else "cpu")
        molecules = [
            Atoms(numbers, np.reshape(start, (-1, 3)))
            for numbers, start in zip(starts["numbers"], starts["start"], strict=True)
        ]
        table = run_dynamics(calculator.potential, molecules, **settings)
        table.insert(0, "molecule", starts["molecule"])
        compared = [
            compare_minima(relaxed(atoms, calculator), np.reshape(minimum, (-1, 3)), energy)
            if minimum is not None
            else {}
            for atoms, minimum, energy in zip(molecules, starts["minimum"], starts["minimum_energy"], strict=True)
        ]
        table = table.join(pd.DataFrame(compared, index=table.index))
        content["dynamics"] = {"simulated_ps": settings["picoseconds"], **summarise(table)}
    with atomic(out) as path:
        table.to_parquet(path, index=False)
    write_json(summary or out.with_suffix(".json"), content)
    return content


def run_dynamics(
    potential: Potential, molecules: list[Atoms], temperature: float, picoseconds: float, step: float, seed: int
) -> pd.DataFrame:
    """Run every molecule twice from its positions, all in one batch: isolated (NVE), and in a heat bath (Langevin).

    Both start with velocities of `temperature` (K); `step` is in fs. Columns, one row per molecule: `atoms`; of NVE
    `nve_whole` (no bond broken), `nve_drift` (slope of the total energy, meV per atom and ps) and `nve_rms` (of the
    energy around that line, meV per atom), null if broken; of Langevin `stability_ps`, the first time a bond is seen
    broken, and `survived`: none was, and the time is the length of the run. Deterministic given `seed`.
    """
    if not 0 < step * CHECK_INTERVAL < 1000 * picoseconds:
        raise ChemscaleError(
            f"picoseconds = {picoseconds}, step = {step} fs: too short; take more than {CHECK_INTERVAL} steps"
        )
    for atoms in molecules:
        require_known(potential, atoms.numbers, atoms.get_chemical_formula())
    generator = np.random.default_rng(seed)
    n = len(molecules)
    z = np.tile(np.concatenate([atoms.numbers for atoms in molecules]), 2)  # first NVE, then Langevin
    start = np.tile(np.concatenate([atoms.positions for atoms in molecules]), (2, 1))
    sizes = np.tile([len(atoms) for atoms in molecules], 2)  # (2n,)
    owner = np.repeat(np.arange(2 * n), sizes)
    masses = atomic_masses[z]  # a copy: those of broken molecules become infinite
    velocities = thermal_velocities(masses, sizes, temperature, generator)
    bonds = find_bonds(z, sizes, start)
    moments = dynamics(
        lambda positions: predict(potential, z, sizes, positions),
        start, velocities, masses, step, FRICTION * (owner >= n), temperature, generator,
    )  # fmt: skip
    times, energies = [], []
    lasted = np.full(2 * n, np.inf)
    for number in range(1, round(1000 * picoseconds / step) + 1):
        moment = next(moments)
        if number % CHECK_INTERVAL:
            continue
        times.append(number * step / 1000)
        energies.append((moment.energy + kinetic_energies(atomic_masses[z], sizes, moment.velocities))[:n])
        gone = broken(bonds, 2 * n, moment.positions) & np.isinf(lasted)
        lasted[gone] = times[-1]
        masses[gone[owner]], moment.velocities[gone[owner]] = np.inf, 0.0  # a broken molecule stays where it is
        if np.isfinite(lasted).all():
            break
    intact, of_bath = np.isinf(lasted[:n]), lasted[n:]
    slope, rms = drift(np.array(times), np.where(intact, np.array(energies), 0.0))
    columns = {
        "atoms": sizes[:n],
        "nve_whole": intact,
        "nve_drift": np.where(intact, 1000 * slope / sizes[:n], np.nan),
        "nve_rms": np.where(intact, 1000 * rms / sizes[:n], np.nan),
        "stability_ps": np.minimum(of_bath, picoseconds),
        "survived": np.isinf(of_bath),
    }
    return pd.DataFrame(columns)


def summarise(table: pd.DataFrame) -> dict[str, float | None]:
    """Return means over molecules with standard errors (`_se`), and shares; the drift's mean is of absolute values.

    `nve_whole`, `survived` and `relaxed` are the shares of molecules that the other means are over, except for
    `stability_ps`: that is over all molecules. Those that never break count with the length of the run, so that it is
    a lower bound.
    """
    content = {"simulated_molecules": len(table), "nve_whole": float(table["nve_whole"].mean())}
    measures = {"nve_drift": table["nve_drift"].abs()} | {name: table[name] for name in ("nve_rms", "stability_ps")}
    content["survived"] = float(table["survived"].mean())
    if "relaxed" in table:
        content["relaxed"] = finite(table["relaxed"].dropna().astype(float).mean())
        measures |= {name: table[name].astype(float) for name in ("relax_rmsd", "relax_energy")}
    for name, values in measures.items():
        content[name], content[f"{name}_se"] = finite(values.mean()), finite(values.sem())
    return content


def _read_minima(path: Path) -> pd.DataFrame:
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        fault = f"lacks the columns {', '.join(missing)}" if missing else "has no molecules"
        raise ChemscaleError(f"{path}: {fault}; make it with `chemscale minima`")
    for name, numbers in zip(table["molecule"], table["numbers"], strict=True):
        named = read_name(str(name))
        if named.charge or named.unpaired or sum(numbers) % 2:
            raise ChemscaleError(
                f"{path}: {name}: an ion or a radical; simulations take neutral closed-shell molecules"
            )
    return table
