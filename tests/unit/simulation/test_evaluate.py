"""Errors out of distribution: stores to be evaluated on, columns of the runs table, and their figure."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from rdkit import Chem

from chemscale.analysis.collect import collect
from chemscale.errors import ChemscaleError
from chemscale.figures.transfer import ratios, transfer
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


def runs() -> pd.DataFrame:
    """Two families at two capacities and three amounts of data, that are 1.5 and 3 times worse on a set "hot"."""
    cell = {"arm": "potential", "status": "finished", "zero_force_mae": 1.0, "on_hot_zero_force_mae": 2.0}
    rows = []
    for family, worse in (("schnet", 1.5), ("painn", 3.0)):
        for width in (8, 16):
            for data in (20, 60, 180):
                error = 2 * data**-0.5 / width
                row = cell | {"family": family, "size": f"d2-w{width}", "parameters": width**2, "data": data}
                row |= {"test_force_mae": error, "unseen_force_mae": 1.1 * error, "on_hot_force_mae": worse * error}
                if width == 8:  # what is compared is the largest capacity
                    row["on_hot_force_mae"] = 9 * error
                rows.append(row)
    return pd.DataFrame(rows)


def test_ratios_are_those_of_the_largest_capacity_at_the_largest_data():
    found = ratios(runs(), ("on_hot_force_mae", "on_hot_zero_force_mae"))
    assert found["error"].to_dict() == pytest.approx({"schnet": 1.5, "painn": 3.0})
    assert found["relative"].to_dict() == pytest.approx({"schnet": 0.75, "painn": 1.5}), "the forces are twice as large"
    assert found["data"].eq(180).all()
    unseen = ratios(runs(), ("unseen_force_mae", "unseen_zero_force_mae"))
    assert unseen["error"].to_dict() == pytest.approx({"schnet": 1.1, "painn": 1.1}) and unseen["relative"].isna().all()


def test_the_figure_has_a_panel_a_set_with_points_zero_line_and_ratios():
    figure = transfer(runs())
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["test: training molecules", "unseen molecules", "hot"]
    for axes in shown:
        points = [line for line in axes.lines if line.get_linestyle() == "None"]
        assert sum(len(line.get_xdata()) for line in points) == 2 * 12, "each run, and each mean"
    test, unseen, hot = shown
    levels = [{line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"} for axes in shown]
    assert levels == [{1.0}, set(), {2.0}]
    assert test.get_legend() is None
    assert [text.get_text() for text in unseen.get_legend().get_texts()] == ["× 1.10", "× 1.10"]
    assert [text.get_text() for text in hot.get_legend().get_texts()] == ["× 3.00  (× 1.50)", "× 1.50  (× 0.75)"]
    plt.close("all")


def test_the_figure_without_unseen_molecules_and_with_a_run_that_was_not_evaluated():
    table = runs().drop(columns="unseen_force_mae")
    table.loc[(table["family"] == "painn") & (table["data"] == 180), "on_hot_force_mae"] = None
    figure = transfer(table)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == ["test: training molecules", "hot"]
    assert ratios(table, ("on_hot_force_mae", "on_hot_zero_force_mae"))["data"].to_dict() == {
        "painn": 60,
        "schnet": 180,
    }
    plt.close("all")
