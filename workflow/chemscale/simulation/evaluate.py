"""Errors of a trained potential on any geometry stores: other molecules, larger ones, hotter ones."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from chemscale.errors import ChemscaleError
from chemscale.files import finite, write_json
from chemscale.geometries.batches import batch_slices
from chemscale.geometries.error_metrics import error_metrics, ratio_se
from chemscale.geometries.measures import segment_sum
from chemscale.geometries.store import SPLITS, Geometries, open_geometries
from chemscale.models.loading import Potential, load_potential, read_metrics
from chemscale.simulation.predict import predict, require_known

LOG = logging.getLogger(__name__)

BATCH_ATOMS = 512


def evaluate(record: Path, stores: list[Path], out: Path, structures: int | None = None) -> dict:
    """Write the errors of a trained potential on `stores`, at most `structures` of each split; return what is written.

    `stores` of the content maps the name of each store to `splits` with the `errors` of each split, and within it
    `by_heavy_atoms`, those of molecules of each size. `errors` are columns of the runs table, over all splits of a
    store together. A failed run has no weights, and a store may hold an element or charges that the potential has not
    seen: `reason` then stands in place of errors, so that one model does not stop a study. Raises ChemscaleError for
    two stores of one name.
    """
    if structures is not None and structures < 1:
        raise ChemscaleError(f"--structures = {structures}: must be at least 1")
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
            raise ChemscaleError(f"{geometries.directory}: another store has the name {name}, too; evaluate it alone")
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
        of_store = errors(pd.concat(tables.values()))
        content["errors"] |= {f"on_{name}_{key}": value for key, value in of_store.items()}
    write_json(out, content)
    return content


def structure_errors(potential: Potential, geometries: Geometries, rows: np.ndarray) -> pd.DataFrame:
    """Return one row per structure: its sizes, its error of energy per atom (eV), and sums over its atoms of forces.

    `absolute` sums the mean absolute error of the three components (eV/Å), `label` their mean absolute value, and
    `squares` the squared errors (eV²/Å²).
    """
    require_known(potential, geometries.z[geometries.atoms(rows)], str(geometries.directory))
    tables = []
    for part in batch_slices(geometries.n_atoms(rows), BATCH_ATOMS):
        atoms, n_atoms = geometries.atoms(rows[part]), geometries.n_atoms(rows[part])
        z, labels = geometries.z[atoms], geometries.forces[atoms].astype(float)
        energy, forces = predict(potential, z, n_atoms, geometries.positions[atoms], geometries.electrons(rows[part]))
        columns = {
            "atoms": n_atoms,
            "heavy_atoms": segment_sum((z > 1).astype(int), n_atoms),
            "energy": (energy - geometries.energy[rows[part]]) / n_atoms,
            "absolute": segment_sum(abs(forces - labels).mean(1), n_atoms),
            "squares": segment_sum(np.square(forces - labels).sum(1), n_atoms),
            "label": segment_sum(abs(labels).mean(1), n_atoms),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def errors(table: pd.DataFrame) -> dict[str, float | None]:
    """Return errors over the structures of `structure_errors`, as in `error_metrics`, with more standard errors.

    Standard errors (`_se`) are over structures. `zero_force_mae` is the error of a potential that predicts no force.
    """
    atoms, energy = table["atoms"], table["energy"].abs()

    def sums(column: str) -> tuple[float, ...]:
        """Return Σx, Σn, Σx², Σxn and Σn² of a column x and the atoms n."""
        x = table[column]
        return tuple(float(values.sum()) for values in (x, atoms, x * x, x * atoms, atoms * atoms))

    absolute, squares = sums("absolute"), sums("squares")
    metrics = error_metrics(
        float(energy.sum()), float((energy**2).sum()), len(table), absolute[0], squares[0], *absolute[1:]
    )
    rmse = metrics["force_rmse"]
    return {
        "structures": len(table),
        **metrics,
        "energy_mae_se": finite(energy.sem()),
        "force_rmse_se": ratio_se(*squares) / (6 * rmse) if rmse else 0.0,  # of the mean square, over 3 components
        "zero_force_mae": sums("label")[0] / absolute[1],
    }
