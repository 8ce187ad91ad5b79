"""Errors out of distribution: stores to be evaluated on, columns of the runs table, and their figure."""

import pandas as pd
import pytest
from rdkit import Chem

from chemscale.analysis.collect import collect
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.geometries import labels
from chemscale.geometries.store import open_geometries
from chemscale.simulation.evaluate import evaluate

ENTRY = {
    "arm": "potential",
    "source": "thermal",
    "method": "GFN2-xTB",
    "min_heavy_atoms": 4,
    "max_heavy_atoms": 4,
    "molecules": 4,
    "conformers": 1,
    "geometries_per_molecule": 3,
    "temperature": [1000, 1500],
    "training_structures": 0,
    "seed": 0,
    "max_failure_share": 0.05,
}


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A store of molecules larger than those of `tiny_geometries`, none of them to train on."""
    directory = tmp_path_factory.mktemp("larger")
    labels.label("larger", ENTRY, directory, workers=1)
    return directory


def test_all_structures_of_a_store_without_training_structures_are_test(larger):
    geometries = open_geometries(larger)
    assert geometries.header["structures"] == {"total": 12, "unseen": 0, "test": 12, "validation": 0, "train": 0}
    assert len(geometries.rows("test")) == 12 and len(set(geometries.group)) == 4
    sizes = {Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() for smiles in read_json(larger / "groups.json")}
    assert sizes == {4}
    with pytest.raises(ChemscaleError, match="split 'train' has 0 structures, not 1"):
        geometries.rows("train", 1)


def test_stores_are_evaluated_one_after_the_other(trained_potential, tiny_geometries, larger, tmp_path):
    record = trained_potential[1]
    both = evaluate(record, [tiny_geometries, larger], tmp_path / "both.json")
    assert both["fingerprint"] == read_json(record / "metrics.json")["fingerprint"]
    alone = evaluate(record, [larger], tmp_path / "alone.json")
    assert both["stores"]["larger"] == alone["stores"]["larger"]
    (split,) = alone["stores"]["larger"]["splits"].values()
    assert alone["errors"] == {f"on_larger_{key}": value for key, value in split.items() if key != "by_heavy_atoms"}
    # all splits of a store together: means over structures, weighted by how many there are
    splits = both["stores"]["tiny"]["splits"].values()
    mean = sum(part["structures"] * part["energy_mae"] for part in splits) / 200
    assert both["errors"]["on_tiny_structures"] == 200
    assert both["errors"]["on_tiny_energy_mae"] == pytest.approx(mean, rel=1e-12)
    # larger and hotter than anything it was trained on
    assert both["errors"]["on_larger_force_mae"] > 1.5 * both["errors"]["on_tiny_force_mae"]
    with pytest.raises(ChemscaleError, match="another store has the name larger, too"):
        evaluate(record, [larger, larger], tmp_path / "twice.json")


def test_a_failed_run_is_not_evaluated_and_says_why(larger, tmp_path):
    write_json(tmp_path / "metrics.json", {"status": "failed", "reason": "not finite", "fingerprint": "f"})
    content = evaluate(tmp_path, [larger], tmp_path / "errors.json")
    assert content["errors"] == {} and read_json(tmp_path / "errors.json")["reason"] == "not finite"


def test_errors_are_columns_of_the_very_model(tmp_path):
    cells = [f"potential/schnet/d2-w8/{data}/seed0" for data in (20, 60)]
    for name, identity in zip(cells, ("a", "b"), strict=True):
        directory = tmp_path / "runs" / name
        write_json(directory / "metrics.json", {"status": "finished", "fingerprint": identity})
        pd.DataFrame({"step": [1]}).to_parquet(directory / "history.parquet")
        # the second was trained anew since
        write_json(directory / "errors.json", {"fingerprint": "a", "errors": {"on_hot_force_mae": 0.5}})
    table = collect(tmp_path, cells, tmp_path / "tables")
    assert table["on_hot_force_mae"].dropna().to_dict() == {0: 0.5}
