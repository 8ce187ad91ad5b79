"""The data dictionary describes every column of a runs table, and its page follows the code."""

from pathlib import Path

import pytest

from chemscale.analysis.columns import COLUMNS, data_dictionary, undescribed
from chemscale.arms import ARMS
from chemscale.files import read_table

ROOT = Path(__file__).parents[3]
USED = ["generated_valid", "wasserstein_qed", "wasserstein_qed_floor", "nve_drift_se", "relax_energy"]
EVALUATED = ["on_nci-small_structures", "on_x_energy_mae_se", "on_x_force_rmse", "on_x_zero_force_mae"]


@pytest.mark.parametrize("file", ["runs.parquet", "runs.csv"])
def test_every_column_of_the_reference_runs_is_described(file):
    table = read_table(ROOT / "results" / "reference" / "tables" / file)
    assert len(table.columns) >= 75
    assert undescribed(table.columns) == []


def test_columns_of_uses_are_described_and_unknown_ones_are_named():
    assert undescribed([*USED, *EVALUATED, "parameters_wings"]) == ["parameters_wings"]


def test_every_column_has_a_unit_and_a_meaning_once():
    entries = [(name, *entry) for section in COLUMNS.values() for name, entry in section.items()]
    assert len({name for name, *_ in entries}) == len(entries)
    assert all(unit and meaning and meaning[0] != " " for _, unit, meaning in entries)


def test_the_page_is_generated_from_the_code():
    page = ROOT / "docs" / "reference" / "runs-table.md"
    assert page.read_text() == data_dictionary(), (
        "run: python -m chemscale.analysis.columns > docs/reference/runs-table.md"
    )


def test_no_fit_depends_on_a_measured_time():
    units = {name: unit for section in COLUMNS.values() for name, (unit, _) in section.items()}
    for arm in ARMS.values():
        counted = [column for columns in arm.counted.values() for column in columns]
        assert not [column for column in (arm.loss, *counted) if units[column] in ("s", "MB")]
