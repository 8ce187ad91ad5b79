"""The notebook that fits three tables: its code runs, its kept copy is executed, and what it says is so."""

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat")


@pytest.fixture(scope="module")
def notebook(checkout):
    return nbformat.read(checkout / "docs" / "tutorials" / "fit-a-table.ipynb", as_version=4)


@pytest.fixture(scope="module")
def answers(notebook, tmp_path_factory):
    import os

    import matplotlib

    matplotlib.use("Agg")
    namespace: dict = {}
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("notebook"))
    try:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(cell.source, namespace)
    finally:
        os.chdir(before)
    return namespace


def test_the_kept_copy_was_executed(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs) == 2
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


def test_what_the_text_says_is_so(answers):
    curve, surface = answers["law"], answers["surface"]
    for name, true in (("exponent", 0.35), ("floor", 0.4)):
        low, high = curve.interval(name)
        assert low < true < high
    found = answers["compare"](answers["curve"], data="molecules").table.set_index("form")
    for column in ("aicc", "bic", "score_percent"):
        assert found.loc["power_floor", column] < found.loc["power", column]
    assert surface.columns["D"] == "flops / (6 params)"
    (entry,) = answers["allocation"](surface, [1e21])["budgets"]
    low, high = entry["intervals"]["N"]
    balance = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62)
    true = balance * (1e21 / 6) ** (0.28 / 0.62)
    assert f"{true:.1e}" == "1.8e+09" and low < true < high
    row, run = (np.ptp(answers[name].interval("exponent")) for name in ("by_row", "by_run"))
    assert run > 1.5 * row
