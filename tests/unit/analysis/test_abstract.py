"""The first page in sentences: every number comes from the runs and fits, and nothing that went wrong is silent."""

import pandas as pd
import pytest
from docutils.core import publish_parts
from helpers.studies import comparison, fits, law, runs, sweeps

from chemscale.analysis.abstract import cost, exponents, found, went_wrong
from chemscale.figures.first_page import first_page


def table(arm, family, sizes, data, loss):
    """Finished runs of a family; `loss` is a function of parameters and data."""
    rows = [
        {
            "cell": f"{arm}/{family}/{size}/{amount}/seed0",
            "arm": arm,
            "family": family,
            "size": size,
            "data": amount,
            "parameters": parameters,
            "status": "finished",
            "test_loss" if arm == "language" else "test_force_mae": loss(parameters, amount),
            "flops": 1e9,
            "device_seconds": 90.0,
            "device_name": "a test",
        }
        for size, parameters in sizes.items()
        for amount in data
    ]
    return pd.DataFrame(rows)


def curve(family, size, exponent, interval, floor=None, unidentified=()):
    made = law(family, "data", {"size": size}, preferred=True, unidentified=list(unidentified))
    made["parameters"] = {"exponent": exponent, "coefficient": 1.0} | ({"floor": floor} if floor else {})
    return made | {"intervals": {"exponent": interval, "floor": [0.1, 0.2]}}


def surface(family, alpha, interval, unidentified=(), beta=None):
    made = law(family, "both", {}, preferred=True, unidentified=list(unidentified))
    made["parameters"] = {"alpha": alpha, "E": 0.5} | ({"beta": beta} if beta else {})
    return made | {"intervals": {"alpha": interval, "beta": [0.2, 0.3]}}


def forecast(inside, error):
    point = {"inside": inside, "error_percent": error}
    return {"family": "painn", "along": "data", "preferred": True, "points": [point]}


@pytest.fixture
def language():
    cells = table("language", "chemgpt-slim", {"w8": 1000, "w64": 160_000}, [120, 4000], lambda n, d: 120 / d + 1)
    laws = fits("language", confidence=0.9, left_out=[], joint=[surface("chemgpt-slim", 0.31, [0.21, 0.41])])
    laws["curves"] = [
        curve("chemgpt-slim", "w8", 0.9, [0.8, 1.0]),
        curve("chemgpt-slim", "w64", 0.16, [0.15, 0.17], floor=0.37),
    ]
    return cells, laws


def test_the_largest_model_says_how_loss_falls_with_data_and_the_surface_with_size(language):
    cells, laws = language
    assert found(cells, [laws]) == [
        "Within 120 to 4,000 training molecules the test loss of ChemGPT-slim w64, with 160,000 parameters, falls from "
        "2 to 1.03 nats per token, as D^−0.16 (0.15 to 0.17), above a floor of 0.37.",
        "With model size the loss of ChemGPT-slim falls as N^−0.31 (0.21 to 0.41), with one exponent for size and "
        "data; sizes span a factor of 160.",
        "No forecast of the test loss could be tested.",
    ]


def test_what_is_not_identified_is_said_so(language):
    cells, laws = language
    laws["curves"] = [curve("chemgpt-slim", "w64", 0.16, [None, 0.9], unidentified=["exponent"])]
    laws["joint"] = [surface("chemgpt-slim", 0.3, [-0.1, 0.9], ["alpha"], beta=0.25)]
    data, size, _ = found(cells, [laws])
    assert data.endswith("The exponent of data is not identified: no limit to 0.90 is possible.")
    assert size == (
        "The exponent of model size of ChemGPT-slim is not identified: -0.10 to 0.90 is possible, though sizes span a "
        "factor of 160."
    )
    laws["curves"] = laws["joint"] = []
    assert found(cells, [laws])[:2] == [
        "ChemGPT-slim: no law could be fitted along data.",
        "ChemGPT-slim: no law of size could be fitted, though sizes span a factor of 160.",
    ]


def test_families_are_compared_and_forecasts_counted():
    cells = table("potential", "painn", {"d2-w8": 5000}, [20, 2000], lambda n, d: 2 / d)
    at = [{"loss": 0.4, "x": 20, "factor": 1.2, "interval": [1, 2]}]
    better = comparison("parameters")
    better["factors"] = {"at": [*at, {"loss": 0.14, "x": 200, "factor": 8.4, "interval": [4.2, None]}]}
    worse = comparison("flops")
    worse["factors"] = {"at": [{"loss": 0.2, "x": 200, "factor": 0.25, "interval": [0.2, 0.5]}]}
    laws = fits("potential", confidence=0.9, left_out=[], comparisons=[better, worse])
    laws["forecasts"] = [forecast(True, 2.0), forecast(False, -9.0), forecast(True, 4.0)]
    *_, by_parameters, by_flops, forecasts = found(cells, [laws])
    assert by_parameters == (
        "At matched non-embedding parameters SchNet needs 8.4 times (4.2 to no limit) as many training structures as "
        "PaiNN for a test MAE of forces of 0.14 eV/Å."
    )
    assert "PaiNN needs 4 times (2 to 5) as many training structures as SchNet" in by_flops
    assert "2 of 3 losses lay inside the 90% interval, with a median error of 4.0 %" in forecasts


def test_everything_that_went_wrong_is_listed(language):
    cells, laws = language
    assert went_wrong(cells, [laws], pd.DataFrame()) == [
        "Nothing: every training finished and enters the fits, and no best learning rate lies at an end."
    ]
    cells.loc[0, "status"], cells.loc[1, "status"] = "failed", "missing"
    laws["left_out"] = [
        {"cell": cells["cell"][0], "rule": "failed: loss became NaN"},
        {"cell": cells["cell"][2], "rule": "undertrained"},
    ]
    assert went_wrong(cells, [laws], sweeps()) == [
        "1 training failed: language/chemgpt-slim/w8/120/seed0.",
        "1 training not there: language/chemgpt-slim/w8/4000/seed0.",
        "The fits leave out 1 training (undertrained): language/chemgpt-slim/w64/120/seed0.",
        "The best learning rate of SchNet lies at an end of its sweep at width 8.",
    ]


def test_cost_counts_finished_trainings(language):
    cells, _ = language
    assert cost(cells) == ["4 trainings took 6.0 minutes of device time (a test) and 4e+09 FLOPs."]


def test_the_page_is_whole_and_its_table_has_a_row_per_exponent(language, tmp_path):
    cells, laws = language
    laws["joint"] = [surface("chemgpt-slim", 0.31, [0.21, 0.41], beta=0.25)]
    shown = exponents([laws])
    assert shown["exponent of"].tolist() == ["data", "data", "size", "data"]
    assert shown["value"].tolist() == ["0.900", "0.160", "0.310", "0.250"]
    assert shown["identified"].tolist() == 4 * ["yes"]
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(20_000))  # docutils refuses lines of 10,000 characters
    page = first_page("mine", cells, [laws], sweeps(), [tmp_path / "a.png"])
    html = publish_parts(page, writer="html", settings_overrides={"halt_level": 2})["html_body"]
    for words in (
        "What the study mine found",
        "D^−0.16",
        "data:image/png;base64,",
        "iVBORw",
        "0.310",
        "Please cite",
        "torch",
    ):
        assert words in html
    assert html.count("<tr>") == 5


def test_a_study_of_potentials_of_real_helpers_has_a_page():
    laws = fits("potential", confidence=0.9, left_out=[])
    given = runs("potential").assign(parameters=900, device_seconds=1.0, device_name="cpu")
    assert "could be fitted" in first_page("s", given, [laws], sweeps(), [])
