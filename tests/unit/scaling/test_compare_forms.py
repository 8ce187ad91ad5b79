"""Forms compared on one table: common criteria, forecasts, predictions, and which form is preferred by how much."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from chemscale.cli import main
from chemscale.errors import ChemscaleError, NotFittable
from chemscale.files import read_json
from chemscale.scaling import compare, fit


@pytest.fixture(scope="module")
def curve():
    x = np.logspace(4, 7, 12)
    loss = (0.5 + 0.5 * (x / 1e4) ** -0.4) * np.exp(0.01 * np.random.default_rng(0).normal(size=12))
    return pd.DataFrame({"tokens": x, "loss": loss})


@pytest.fixture(scope="module")
def surface():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(5, 7, 4), np.logspace(6, 9, 5)))
    loss = (1 + (n / 1e5) ** -0.4 + (d / 1e6) ** -0.3) * np.exp(0.01 * np.random.default_rng(0).normal(size=20))
    return pd.DataFrame({"n": n, "d": d, "loss": loss, "flops": 7 * n * d})


def test_all_forms_of_a_curve_stand_in_one_table_within_two_seconds(curve):
    start = time.process_time()
    found = compare(curve, data="tokens", at=[{"x": 1e8}])
    assert time.process_time() - start < 2
    table = found.table.set_index("form")
    assert set(table.index) == {"power", "power_floor", "shifted", "shifted_floor", "broken"}
    assert table.index[0] == found.chosen == "power_floor" and table["preferred"].sum() == 1
    law = fit(curve, data="tokens", delta=found.content["delta"], draws=20)
    assert table.loc["power_floor", ["aicc", "bic"]].tolist() == pytest.approx(
        [law.fit.aicc(), law.fit.bic()], rel=1e-5
    )
    for name, value in law.parameters.items():
        assert table.loc["power_floor", name] == pytest.approx(value, rel=1e-4)
    assert table.loc["power_floor", "x=1e+08"] == pytest.approx(law.fit.predict(np.array([1e8]))[0], rel=1e-4)
    assert table.loc["power", "score_percent"] > 3 * table.loc["power_floor", "score_percent"]
    assert table.loc["power", "largest_error_percent"] < -5
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_statement_says_by_how_much(curve, surface):
    assert compare(surface, params="n", data="d", forms=["joint", "joint_no_floor"]).statement.startswith(
        "joint is preferred: forecasts over 3 windows are off by 1.7 %, those of the next form, joint_no_floor, by "
    )
    assert "within one standard error of joint_tied" in compare(surface, params="n", data="d").statement
    short = compare(curve[::4], data="tokens", forms=["power", "power_floor"])
    assert short.statement == "power is preferred for the fewest parameters: there are too few sizes to forecast any."


def test_a_printed_comparison_has_one_line_per_form(surface):
    found = compare(surface, params="n", data="d", at=[{"D": 1e10, "N": 1e9}], cost="flops")
    lines = str(found).split("\n")
    assert len(lines) == 1 + len(found.table) + 1 and "joint *" in lines[1] and "N=1e+09, D=1e+10" in lines[0]
    assert "alpha 0.39" in lines[1] and lines[-1] == found.statement
    assert {window["along"] for window in found.content["windows"]} == {"N", "D", "C"}


def test_forms_that_do_not_fit_are_named_and_mistakes_are_not_taken_for_that(curve):
    found = compare(curve[:5], data="tokens")
    assert set(found.content["not_fitted"]) == {"broken"} and "broken: 5 distinct points" in str(found)
    with pytest.raises(NotFittable, match="none of the forms can be fitted"):
        compare(curve[:2], data="tokens")
    for options, message in (
        ({"data": "bytes"}, "needs the column bytes"),
        ({"data": "tokens", "at": [{"N": 1e9}]}, "the law is one of x; N is given"),
        ({"data": "tokens", "forms": ["power", "joint"]}, "same variables"),
        ({"data": "tokens", "cost": "dollars"}, "needs the column dollars"),
    ):
        with pytest.raises(ChemscaleError, match=message) as caught:
            compare(curve, **options)
        assert not isinstance(caught.value, NotFittable)


def test_the_command_compares(curve, tmp_path, capsys):
    curve.to_csv(tmp_path / "curve.csv", index=False)
    asked = [
        "fit",
        str(tmp_path / "curve.csv"),
        "--loss",
        "loss",
        "--data",
        "tokens",
        "--out",
        str(tmp_path / "c.json"),
    ]
    assert main([*asked, "--compare", "--at", "x=1e8"]) == 0
    content = read_json(tmp_path / "c.json")
    assert content["chosen"] == "power_floor" and content["at"] == [{"x": 1e8}]
    assert content["statement"] in capsys.readouterr().err
    assert main([*asked, "--compare", "--at", "1e8"]) == 2
    assert "'1e8': not a point; write N=1e9,D=1e10 or x=1e9" in capsys.readouterr().err
