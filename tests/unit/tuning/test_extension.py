"""Rates beyond the ends of a sweep, where the best one lies at an end."""

import math

import pytest
from helpers.settings import sweep_of

from chemscale.tuning.extension import MAX_BEYOND, beyond_the_edges
from chemscale.tuning.sweep import tune

RATES = [0.001, 0.002, 0.004]


def group(losses, width=8):
    """Trials of one width by rate; a loss of None has diverged."""
    return [
        {
            "width": width,
            "batch_tokens": None,
            "learning_rate": rate,
            "expected_loss": loss,
            "status": "finished" if loss else "diverged",
        }
        for rate, loss in losses.items()
    ]


def added(losses):
    return [trial["learning_rate"] for trial in beyond_the_edges(group(losses), RATES)]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({0.001: 3.0, 0.002: 2.0, 0.004: 3.0}, []),
        ({0.001: 3.0, 0.002: 2.0, 0.004: 1.0}, [0.008]),
        ({0.001: 1.0, 0.002: 2.0, 0.004: 3.0}, [0.0005]),
        ({0.001: 3.0, 0.002: 2.0, 0.004: None}, [math.sqrt(0.002 * 0.004)]),
        ({0.001: 3.0, 0.002: 2.0, 0.004: 1.0, 0.008: None}, [math.sqrt(0.004 * 0.008)]),
        ({0.001: 3.0, 0.002: 2.0, 0.004: 1.0, 0.008: 0.9}, [0.016]),
        ({0.001: 3.0, 0.002: 2.0, 0.004: 1.0, 0.008: 1.1}, []),
        ({0.001: None, 0.002: None, 0.004: None}, []),
    ],
)
def test_a_sweep_goes_on_where_its_best_rate_is_the_last_that_did_not_diverge(losses, expected):
    assert added(losses) == pytest.approx(expected)


def test_groups_go_on_by_themselves():
    trials = group({0.001: 1.0, 0.002: 2.0, 0.004: 3.0}) + group({0.001: 3.0, 0.002: 2.0, 0.004: 1.0}, width=32)
    assert [(trial["width"], trial["learning_rate"]) for trial in beyond_the_edges(trials, RATES)] == [
        (8, pytest.approx(0.0005)),
        (32, pytest.approx(0.008)),
    ]
    assert {trial["status"] for trial in beyond_the_edges(trials, RATES)} == {"waiting"}


def test_a_loss_that_falls_for_ever_ends_after_some_rates():
    losses = {rate: 1 - 100 * rate for rate in RATES}
    for _ in range(10):
        more = added(losses)
        losses |= {rate: 1 - 100 * rate for rate in more}
    assert len(losses) == len(RATES) + MAX_BEYOND


@pytest.mark.parametrize("arm", ["potential"])
def test_a_sweep_of_too_low_rates_finds_its_best_beyond_them(arm, cell_settings, tmp_path):
    low = [1e-4, 5e-4, 2.5e-3]
    tuned = tune(sweep_of(cell_settings, learning_rates=low, steps=40), tmp_path / "rates.json")
    rates = [trial["learning_rate"] for trial in tuned["trials"]]
    assert rates[:3] == low and rates[3] == pytest.approx(0.0125)
    assert tuned["best"][0]["learning_rate"] > max(low)
    assert all(trial["expected_loss"] is not None or trial["status"] == "diverged" for trial in tuned["trials"])
