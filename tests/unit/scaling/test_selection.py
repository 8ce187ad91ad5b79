"""The form that forecasts best is chosen, ties go to the simpler one, and the rule's own error is honest."""

import json

import numpy as np
import pytest

from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.selection.selection import Judged, rank_forms, select
from chemscale.scaling.selection.windows import expanding_windows

SIZES = np.repeat(np.logspace(4, 5.8, 5), [2, 2, 2, 1, 1])
TWO = ("power", "power_floor")


def curve(floor, alpha, noise, seed=0, x=SIZES):
    noise = noise * np.random.default_rng(seed).standard_normal(len(x))
    return (floor + (1 - floor) * (x / x[0]) ** -alpha) * np.exp(noise)


def errors_in_windows(**of_form):
    """Windows with one error (None: not fitted) of each form."""
    return [
        Judged(None, {}, {form: np.array([error]) for form, error in zip(of_form, row, strict=True) if error}, {})
        for row in zip(*of_form.values(), strict=True)
    ]


def test_a_floor_that_matters_is_chosen_and_content_is_plain():
    content = select(TWO, {"x": SIZES}, curve(0.5, 0.5, 0.003))
    assert content["chosen"] == "power_floor" and content["chosen_by"] == "extrapolation"
    assert content["forms"]["power"]["score_percent"] > 4 * content["forms"]["power_floor"]["score_percent"]
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize("noise", [1e-8, 0.005])
def test_a_pure_power_law_is_left_alone(noise):
    assert select(TWO, {"x": SIZES}, curve(0, 0.2, noise))["chosen"] == "power"


def test_windows_grow_from_three_sizes_and_forecast_the_next():
    windows = select(TWO, {"x": SIZES}, curve(0, 0.2, 0.01))["windows"]
    assert [(w["runs_fitted"], w["runs_forecast"]) for w in windows] == [(6, 1), (7, 1)]
    assert [w["fitted_to"] for w in windows] == pytest.approx(np.unique(SIZES)[2:4])
    assert [w["forecast_to"] for w in windows] == pytest.approx(np.unique(SIZES)[3:])


def test_error_of_a_window_is_that_of_the_forecast():
    loss = curve(0, 0.2, 0.01)
    window = select(("power",), {"x": SIZES}, loss, delta=1.0)["windows"][0]
    fit = fit_law("power", SIZES[:6], loss[:6], delta=1.0)
    assert window["errors"]["power"]["mean_log_error"] == pytest.approx(np.log(fit.predict(SIZES[6:7]) / loss[6])[0])


def test_runs_of_one_size_count_as_their_mean():
    x = np.append(SIZES, SIZES[-1])
    loss = curve(0, 0.2, 1e-8)
    loss = np.append(loss, loss[-1] * np.exp(0.02))
    loss[-2] *= np.exp(-0.02)
    assert select(("power",), {"x": x}, loss)["windows"][-1]["errors"]["power"]["rms_log_error"] < 1e-6


def test_a_form_missing_in_hard_windows_is_not_favoured():
    windows = errors_in_windows(power=[0.4, 0.02, 0.02], power_floor=[None, 0.03, 0.03])
    scores, tied = rank_forms(windows, TWO, {})
    assert scores["power_floor"] == pytest.approx(1.5 * scores["power"])
    assert tied == ["power"]


@pytest.mark.parametrize(("richer", "chosen"), [(0.07, "power"), (0.06, "power_floor")])
def test_near_ties_go_to_the_form_with_the_lower_bic(richer, chosen):
    # two windows: a standard error is 50 %
    windows = errors_in_windows(power=[0.1, 0.1], power_floor=[richer, richer])
    assert rank_forms(windows, TWO, {"power": -20.0, "power_floor": -15.0})[1][0] == chosen
    assert rank_forms(windows, TWO, {"power": -15.0, "power_floor": -20.0})[1][0] == "power_floor"
    assert rank_forms(windows, TWO, {})[1][0] == chosen  # without criteria the simpler form


def test_the_error_of_the_rule_is_made_with_what_was_known_before():
    """A curve that looks pure until its last size: the rule takes the power law and is charged its error there."""
    x = np.logspace(4, 6, 6)
    loss = curve(0, 0.3, 0.002, x=x)
    loss[-1] *= 1.5
    content = select(TWO, {"x": x}, loss, delta=1.0)
    last = content["windows"][-1]["errors"]
    known = select(TWO, {"x": x[:-1]}, loss[:-1], delta=1.0)["chosen"]
    before = content["windows"][1]["errors"][select(TWO, {"x": x[:4]}, loss[:4], delta=1.0)["chosen"]]
    expected = 100 * np.sqrt((last[known]["rms_log_error"] ** 2 + before["rms_log_error"] ** 2) / 2)
    assert content["rule_error"]["windows"] == 2
    assert content["rule_error"]["extrapolation"] == pytest.approx(expected)
    assert content["rule_error"]["extrapolation"] > 20


def test_too_few_sizes_give_no_error_of_the_rule_and_say_so():
    content = select(TWO, {"x": SIZES[:7]}, curve(0, 0.2, 0.01)[:7])
    assert content["rule_error"] is None
    assert "too few windows (1)" in content["rule_error_reason"]


@pytest.mark.parametrize(("runs", "chosen_by"), [(6, "aicc"), (None, "simplest")])
def test_three_sizes_fall_back_on_aicc_then_on_the_simplest(runs, chosen_by):
    x, loss = SIZES[:6], curve(0, 0.2, 0.01)[:6]
    if runs is None:
        x, loss = x[::2], loss[::2]
    content = select(TWO, {"x": x}, loss)
    assert (content["chosen"], content["chosen_by"]) == ("power", chosen_by)


def test_a_form_that_cannot_be_fitted_is_named_with_the_reason():
    content = select((*TWO, "broken"), {"x": SIZES}, curve(0, 0.2, 0.01))
    assert "5 distinct points" in content["not_fitted"]["broken"]
    assert set(content["forms"]) == set(TWO)


def test_a_surface_has_windows_along_model_data_and_compute():
    n, d = (values.ravel() for values in np.meshgrid(np.logspace(4, 6, 5), np.logspace(5, 7, 5)))
    loss = 1 + 0.8 * (n / 1e4) ** -0.3 + 1.2 * (d / 1e5) ** -0.4
    loss *= np.exp(0.003 * np.random.default_rng(0).standard_normal(25))
    content = select(("joint", "joint_no_floor"), {"N": n, "D": d}, loss, compute=6 * n * d, delta=1.0)
    assert {window["along"] for window in content["windows"]} == {"N", "D", "C"}
    assert content["chosen"] == "joint"
    assert content["rule_error"]["extrapolation"] < content["rule_error"]["forms"]["joint_no_floor"]


def test_windows_of_many_values_are_grouped():
    windows = expanding_windows({"x": np.logspace(3, 6, 100)})
    assert len(windows) == 7
    assert all(11 <= window.forecast.sum() <= 14 for window in windows)
    assert all(not (window.forecast & window.fitted).any() for window in windows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forms": ()}, "same variables"),
        ({"forms": ("power", "joint")}, "same variables"),
        ({"loss": -np.ones(8)}, "loss: must be positive"),
        ({"compute": np.ones(3)}, "compute has 3 values, loss has 8"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    given = {"forms": TWO, "x": {"x": SIZES}, "loss": curve(0, 0.2, 0.01)} | change
    with pytest.raises(ChemscaleError, match=message):
        select(**given)


def test_without_runs_no_form_is_chosen():
    with pytest.raises(NotFittable, match="no runs"):
        select(TWO, {"x": np.array([])}, np.array([]))
