"""A trained potential's errors on any stores of geometries: other molecules, larger ones, hotter ones."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from chemscale.errors import ChemscaleError
from chemscale.files import finite, write_json
from chemscale.geometries.batches import cut
from chemscale.geometries.store import SPLITS, Geometries, open_geometries
from chemscale.models.loading import Potential, load_potential, read_metrics
from chemscale.simulation.predict import energies_and_forces, require_known

LOG = logging.getLogger(__name__)

BATCH_ATOMS = 512


def evaluate(record: Path, stores: list[Path], out: Path, structures: int | None = None) -> dict:
    """Write the errors of a trained potential on `stores`, at most `structures` of each split; return what is written.

    `stores` has an entry a store by its name: `splits` with the `errors` of each split, `by_heavy_atoms` within it
    those of molecules of each size. `errors` are columns of the runs table, those of all splits of a store together. A
    failed run has no weights, and a store may hold an element or charges that the potential has not seen: no errors
    then, but `reason` says why, so that one model does not stop a study. Raises ChemscaleError for two stores of one
    name.
    """
    if structures is not None and structures < 1:
        raise ChemscaleError(f"--structures {structures}: right would be at least 1")
    metrics = read_metrics(record)
    content = {"model": str(record), "fingerprint": metrics.get("fingerprint"), "errors": {}, "stores": {}}
    if metrics.get("status") == "failed":
        write_json(out, content | {"reason": metrics["reason"]})
        return content
    potential = load_potential(record)
    potential.model.to("cuda" if torch.cuda.is_available() else "cpu")
    for geometries in map(open_geometries, stores):
        header = geometries.header
        name = header["name"]
        if name in content["stores"]:
            raise ChemscaleError(f"{geometries.directory}: a second store of the name {name}; evaluate on it by itself")
        about = {"method": header["method"], "fingerprint": header["fingerprint"]}
        try:
            tables = {
                split: structure_errors(potential, geometries, geometries.rows(split, count))
                for split in SPLITS
                if (count := min(header["structures"][split], structures or np.inf))
            }
        except ChemscaleError as error:
            LOG.warning(f"not evaluated: {error}")
            content["stores"][name] = about | {"reason": str(error)}
            continue
        splits = {
            split: errors(table)
            | {"by_heavy_atoms": {str(heavy): errors(of_size) for heavy, of_size in table.groupby("heavy_atoms")}}
            for split, table in tables.items()
        }
        content["stores"][name] = about | {"splits": splits}
        whole = errors(pd.concat(tables.values()))
        content["errors"] |= {f"on_{name}_{key}": value for key, value in whole.items()}
    write_json(out, content)
    return content


def structure_errors(potential: Potential, geometries: Geometries, rows: np.ndarray) -> pd.DataFrame:
    """One row a structure: sizes, error of energy per atom (eV), sums over components of forces of errors and labels.

    `absolute` and `label` sum absolute values (eV/Å), `square` squares (eV²/Å²).
    """
    require_known(potential, geometries.z[geometries.atoms(rows)], str(geometries.directory))
    parts = []
    for part in cut(geometries.n_atoms(rows), BATCH_ATOMS):
        atoms, n_atoms = geometries.atoms(rows[part]), geometries.n_atoms(rows[part])
        z, labels = geometries.z[atoms], geometries.forces[atoms].astype(float)
        energy, forces = energies_and_forces(
            potential, z, n_atoms, geometries.positions[atoms], geometries.electrons(rows[part])
        )
        first = np.cumsum(n_atoms) - n_atoms
        parts.append(pd.DataFrame({
            "atoms": n_atoms,
            "heavy_atoms": np.add.reduceat((z > 1).astype(int), first),
            "energy": (energy - geometries.energy[rows[part]]) / n_atoms,
            "absolute": np.add.reduceat(abs(forces - labels).sum(1), first),
            "square": np.add.reduceat(np.square(forces - labels).sum(1), first),
            "label": np.add.reduceat(abs(labels).sum(1), first),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def errors(table: pd.DataFrame) -> dict[str, float | None]:
    """Errors over the structures of `structure_errors`: energies in eV per atom, forces in eV/Å.

    Every component of a force counts alike. Standard errors (`_se`) are over structures, the unit that was sampled.
    `zero_force_mae` is the error of a potential that predicts no force.
    """
    components = 3 * table["atoms"]
    mae, mse = table["absolute"].sum() / components.sum(), table["square"].sum() / components.sum()

    def ratio_error(sums: pd.Series, ratio: float) -> float:
        return float(np.sqrt(np.square(sums - ratio * components).sum()) / components.sum())

    return {
        "structures": len(table),
        "energy_mae": float(table["energy"].abs().mean()),
        "energy_mae_se": finite(table["energy"].abs().sem()),
        "energy_rmse": float(np.sqrt(table["energy"].pow(2).mean())),
        "force_mae": float(mae),
        "force_mae_se": ratio_error(table["absolute"], mae),
        "force_rmse": float(np.sqrt(mse)),
        "force_rmse_se": ratio_error(table["square"], mse) / (2 * float(np.sqrt(mse))) if mse else 0.0,
        "zero_force_mae": float(table["label"].sum() / components.sum()),
    }
