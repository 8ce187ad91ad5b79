"""Curves of one family share the form that forecasts all of them best, where one curve would follow its own noise."""

import json

import numpy as np
import pytest

from chemscale.errors import NotFittable
from chemscale.scaling.selection.pooled import select_pooled
from chemscale.scaling.selection.selection import select

TWO = ("power", "power_floor")
SIZES = np.logspace(2, 4, 6)


def curves(floor, noise, seed, number=8):
    """Return tables of one form: exponent 0.4 above `floor`, other scales, log-normal noise."""
    rng = np.random.default_rng(seed)
    losses = [
        scale * (floor + (1 - floor) * (SIZES / SIZES[0]) ** -0.4) * np.exp(noise * rng.standard_normal(len(SIZES)))
        for scale in np.linspace(0.5, 2, number)
    ]
    return [({"x": SIZES}, loss) for loss in losses]


@pytest.mark.parametrize(("floor", "truth"), [(0.35, "power_floor"), (0.0, "power")])
def test_noisy_curves_choose_the_true_form_together_more_often_than_alone(floor, truth):
    drawn = [curves(floor, 0.05, seed) for seed in range(10)]
    together = [select_pooled(TWO, tables) for tables in drawn]
    alone = [select(TWO, x, loss)["chosen"] for tables in drawn for x, loss in tables]
    right = sum(pooled["chosen"] == truth for pooled in together)
    assert right >= 9 and right / 10 > alone.count(truth) / len(alone) + 0.05
    assert {(pooled["chosen_by"], pooled["tables"]) for pooled in together} == {("extrapolation", 8)}


def test_of_one_table_the_choice_is_that_of_select():
    (table,) = curves(0.35, 0.01, seed=3, number=1)
    alone, pooled = select(TWO, *table), select_pooled(TWO, [table])
    assert (pooled["chosen"], pooled["tied"]) == (alone["chosen"], alone["tied"])
    for form in TWO:
        assert pooled["forms"][form] == {key: alone["forms"][form][key] for key in ("windows", "score_percent", "bic")}


def test_content_is_plain_and_bic_is_that_of_all_points():
    tables = curves(0.35, 0.01, seed=1, number=3)
    pooled = select_pooled(TWO, tables)
    assert json.loads(json.dumps(pooled, allow_nan=False)) == pooled
    each = [select(TWO, x, loss)["forms"]["power"]["bic"] for x, loss in tables]
    more = 2 * 3 * np.log(3)  # two parameters of each of three curves; three times as many points
    assert pooled["forms"]["power"]["bic"] == pytest.approx(sum(each) + more)


def test_a_table_that_no_form_fits_is_left_out():
    tables = curves(0.35, 0.01, seed=1, number=3)
    short = ({"x": SIZES[:1]}, tables[0][1][:1])
    assert select_pooled(TWO, [*tables, short]) == select_pooled(TWO, tables)
    with pytest.raises(NotFittable):
        select_pooled(TWO, [short])
    with pytest.raises(NotFittable, match="no table"):
        select_pooled(TWO, [])
