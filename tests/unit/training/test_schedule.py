"""Step budgets and learning rates: pure functions with known values."""

import pytest

from chemscale.config.study_models import Steps
from chemscale.training.schedule import count_plateaus, evaluations_without_gain, lr_factor

STEPS = Steps(per_sqrt_example=32, epochs=5, minimum=400, maximum=5000)


@pytest.mark.parametrize(
    ("examples", "budget"),
    [(100, 400), (400, 640), (10_000, 3200), (22_500, 4800), (1_000_000, 5000)],
)
def test_budget_grows_with_the_root_of_data_within_its_bounds(examples, budget):
    assert STEPS.budget(examples, 32) == budget


def test_large_data_is_seen_for_whole_epochs():
    assert STEPS.replace(maximum=10**6).budget(64_000, 32) == 5 * 64_000 / 32


def test_cosine_rises_to_its_peak_and_falls_to_zero():
    factors = [lr_factor(step, 100, 0.1, "cosine") for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == 1.0 == factors[10]
    assert factors[55] == pytest.approx(0.5) and factors[100] == pytest.approx(0.0)
    assert sorted(factors[10:], reverse=True) == factors[10:]


def test_constant_stays_at_its_peak():
    assert [lr_factor(step, 100, 0.02, "constant") for step in (0, 1, 2, 99)] == [0.5, 1.0, 1.0, 1.0]


def test_plateau_halves_for_each_one_after_the_warm_up():
    assert [lr_factor(step, 100, 0.02, "plateau", 2) for step in (0, 1, 2, 99)] == [0.5, 1.0, 0.25, 0.25]
    assert lr_factor(50, 100, 0.02, "plateau") == 1.0


def test_a_plateau_is_two_evaluations_without_a_gain_over_the_best():
    losses = [4.0, 5.0, 3.0, 3.1, 2.9999, 3.2, 3.0, 2.0, 2.0]  # 2.9999 is too small a gain
    assert evaluations_without_gain(losses) == [0, 1, 0, 1, 2, 3, 4, 0, 1]
    assert [count_plateaus(losses[:n]) for n in range(10)] == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
