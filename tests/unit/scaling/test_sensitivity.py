"""What conventions do to an exponent, where it is known what they do."""

import numpy as np
import pandas as pd
import pytest

from chemscale.analysis.curves import analysis_choices
from chemscale.arms import ARMS
from chemscale.scaling.selection.sensitivity import sensitivity


@pytest.fixture
def runs():
    """Errors that fall as D^-0.3 but for one outlier; atoms grow as D^0.9; losses of validation are squared errors."""
    data = np.array([100, 200, 400, 800, 1600, 3200, 6400])
    error = data**-0.3
    return pd.DataFrame({
        "train_structures": data,
        "train_atoms": data**0.9,
        "test_force_mae": error * np.where(data == 6400, 1.05, 1),
        "validation_loss_best": error**2,
        "validation_loss": data**-0.5,
    })  # fmt: skip


def judged(runs):
    choices = analysis_choices(ARMS["potential"], "data")
    return sensitivity(runs, {"x": "train_structures"}, "test_force_mae", "power", (0.29, 0.31), choices)


def test_every_choice_moves_the_exponent_as_it_must(runs):
    found = judged(runs)
    rows = {(row["convention"], row["choice"]): row for row in found["rows"]}
    counted = "data counted as"
    base = found["exponent"]
    assert rows[counted, "train_structures"]["exponent"] == base == rows["loss", "test_force_mae"]["exponent"]
    assert rows[counted, "train_atoms"]["exponent"] == pytest.approx(base / 0.9)
    assert rows["loss", "best evaluation"]["exponent"] == pytest.approx(0.3)
    assert rows["loss", "last evaluation"]["exponent"] == pytest.approx(0.25)
    assert rows["outliers", "without the run farthest from the law"]["exponent"] == pytest.approx(0.3)
    assert rows["objective", "least absolute deviations"]["exponent"] == pytest.approx(0.3, abs=1e-4)
    squares = -np.polyfit(np.log(runs["train_structures"]), np.log(runs["test_force_mae"]), 1)[0]
    assert rows["objective", "least squares of log loss"]["exponent"] == pytest.approx(squares)
    low, high = found["range"]
    assert low == pytest.approx(0.25) and high == pytest.approx(base / 0.9)
    assert f"{(high - low) / 0.02:.1f} times the width of its interval" in found["statement"]


def test_what_cannot_be_chosen_says_why(runs):
    found = judged(runs)
    reasons = {row["choice"]: row["reason"] for row in found["rows"] if row["exponent"] is None}
    assert reasons == {
        "train_force_labels": "the table has no train_force_labels for some runs",
        "best of several for each cell": "every cell was trained at one learning rate",
    }


def test_a_surface_is_fitted_without_its_smallest_sizes_and_by_every_objective():
    n, d = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 6, 5), np.logspace(3, 5, 5)))
    loss = 0.5 + (n / 1e4) ** -0.5 + (d / 1e3) ** -0.3
    loss[n == n.min()] *= 1.1  # what the smallest models lose does not belong to the law
    table = pd.DataFrame({"n": n, "d": d, "loss": loss})
    found = sensitivity(table, {"N": "n", "D": "d"}, "loss", "joint", (0.3, 0.4), quantity="a")
    rows = {row["choice"]: row["exponent"] for row in found["rows"]}
    assert rows["without the smallest N"] == pytest.approx(0.3 / 0.8, abs=1e-4)
    assert abs(found["exponent"] - 0.3 / 0.8) > 0.01 and rows["all runs"] == found["exponent"]
    assert len(rows) == 9 and found["statement"].startswith("Analysis choices move a from")
