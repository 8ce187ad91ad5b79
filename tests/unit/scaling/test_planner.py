"""Plans: the expected gain is that of regression where that is exact, and no other runs of equal cost promise more."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from chemscale import cli
from chemscale.errors import ChemscaleError, NotFittable
from chemscale.scaling.allocation.cost import SIX_N_D
from chemscale.scaling.allocation.design import Design, choose_runs
from chemscale.scaling.allocation.planner import candidate_grid, plan, plan_table
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.inference.bootstrap import Bootstrap, bootstrap

N, D = (grid.ravel() for grid in np.meshgrid(np.logspace(4, 5.5, 3), np.logspace(2.5, 4.5, 5)))
BUDGET = float(SIX_N_D.of(N, D).sum())


@pytest.fixture(scope="module")
def boot() -> Bootstrap:
    noise = 0.015 * np.random.default_rng(0).normal(size=len(N))
    loss = (1 + (N / 1e4) ** -0.35 + (D / D.min()) ** -0.3) * np.exp(noise)
    return bootstrap(fit_law("joint", {"N": N, "D": D}, loss, starts=16), 200)


def line_design(number) -> Design:
    x = np.logspace(2, 4, 6)
    loss = x**-0.2 * np.exp(0.01 * np.random.default_rng(0).normal(size=6))
    return Design(bootstrap(fit_law("power", x, loss, delta=1.0, starts=4), 100), number, 0.9)


def test_for_a_line_in_logs_the_expected_width_is_that_of_regression():
    design = line_design(lambda theta: theta[:, 1])  # the slope
    more = np.array([1e4, 1e4, 1e5])
    old = np.log(np.logspace(2, 4, 6))
    new = np.concatenate([old, np.log(more)])
    narrower = np.sqrt(old.var() * len(old) / (new.var() * len(new)))
    assert design.expected({"x": more}) == pytest.approx(
        narrower * stats.t.ppf(0.95, 7) / stats.t.ppf(0.95, 4), rel=1e-3
    )


def test_runs_for_a_slope_are_chosen_at_the_ends():
    design = line_design(lambda theta: theta[:, 1])
    x = np.logspace(2, 4, 9)
    counts = choose_runs(design, {"x": x}, np.ones(9), budget=6, max_repeats=3, max_runs=20)
    assert counts.tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 3]


def test_greedy_is_near_the_best_of_all_designs(boot):
    design = Design(boot, lambda theta: theta[:, 3], 0.9)
    cells = {"N": np.array([1e4, 1e5, 6e5, 1e6, 1e4, 3e4]), "D": np.array([1e5, 5e3, 3e4, 1e3, 1e3, 1e4])}
    cost = SIX_N_D.of(cells["N"], cells["D"])
    budget = 2e10
    counts = choose_runs(design, cells, cost, budget, 3, 20)
    assert (counts * cost).sum() <= budget
    everything = [np.array(c) for c in itertools.product(range(4), repeat=6) if (np.array(c) * cost).sum() <= budget]

    def width(counts):
        covariance = design.before
        for cell in np.repeat(np.arange(6), counts):
            covariance = design.added(covariance, design.gradient({k: v[[cell]] for k, v in cells.items()})[:, 0])
        return design.ratio(covariance)

    best = min(width(c) for c in everything if c.sum() <= 20)
    assert width(counts) <= 1.1 * best


@pytest.mark.parametrize("of", ["a", "alpha", "E", {"N": 1e6, "D": 1e5}], ids=str)
def test_a_plan_keeps_the_budget_and_promises_more_than_the_alternatives(boot, of):
    made = plan(boot, candidate_grid(N, D), SIX_N_D, BUDGET, of=of)
    assert made["spent"] <= BUDGET * (1 + 1e-9)
    assert made["spent"] == pytest.approx(sum(cell["cost"] * cell["repeats"] for cell in made["cells"]))
    assert max(cell["repeats"] for cell in made["cells"]) <= 3
    for entry in made["alternatives"].values():
        assert made["width_ratio"] < entry["width_ratio"] < 1
        assert entry["spent"] <= BUDGET * (1 + 1e-9)
    again = made["alternatives"]["repeat what is there"]
    assert len(again["cells"]) == 15 and {cell["repeats"] for cell in again["cells"]} == {1}
    assert made["alternatives"]["run at the optimum"]["spent"] == pytest.approx(BUDGET)
    json.dumps(made, allow_nan=False)


def test_seeds_of_every_cell_narrow_by_the_root_of_their_number(boot):
    ratio = plan(boot, candidate_grid(N, D), SIX_N_D, BUDGET)["alternatives"]["repeat what is there"]["width_ratio"]
    assert ratio == pytest.approx(0.5**0.5, abs=0.06)  # a little less: more runs also tell the noise better


def test_half_a_round_of_seeds_repeats_the_cheap_cells(boot):
    again = plan(boot, candidate_grid(N, D), SIX_N_D, 1.2 * BUDGET)["alternatives"]["repeat what is there"]
    twice = [cell for cell in again["cells"] if cell["repeats"] == 2]
    once = [cell for cell in again["cells"] if cell["repeats"] == 1]
    assert len(twice) + len(once) == 15
    assert max(cell["cost"] for cell in twice) <= min(cell["cost"] for cell in once) * (1 + 1e-9)


def test_the_lowest_loss_is_the_best_affordable_candidate(boot):
    cells = candidate_grid(N, D)
    made = plan(boot, cells, SIX_N_D, BUDGET, goal="loss")
    affordable = SIX_N_D.of(cells["N"], cells["D"]) <= BUDGET
    assert made["loss"] == pytest.approx(boot.fit.predict(cells)[affordable].min())
    assert made["alternatives"]["run at the optimum"]["loss"] <= made["loss"]
    assert made["interval"][0] < made["loss"] < made["interval"][1]
    assert 0 < made["gain"] < 1
    assert made["extrapolated"] == ["N"] and made["cells"][0]["N"] == 2 * N.max()
    again = made["alternatives"]["repeat what is there"]
    assert again["loss"] == pytest.approx(boot.fit.predict(boot.fit.x).min()) and again["spent"] <= BUDGET * (1 + 1e-9)
    json.dumps(made, allow_nan=False)


def test_candidates_hold_the_cells_there_are_and_none_less_fed():
    cells = candidate_grid(N, D)
    pairs = set(zip(cells["N"], cells["D"], strict=True))
    assert set(zip(N, D, strict=True)) <= pairs
    assert (4 * N.max(), 4 * D.max()) in pairs
    assert (cells["D"] / cells["N"]).min() >= (D / N).min()


def test_a_table_is_planned_for_with_the_options_of_a_fit(boot):
    table = pd.DataFrame(
        {"loss": boot.fit.loss, "n": N, "d": D, "seconds": 1e-3 * N**0.5 * D, "run": np.arange(15) // 3}
    )
    options = {"loss": "loss", "params": "n", "data": "d", "draws": 100}
    made = plan_table(table, 1e4, cost="seconds", **options)
    assert made["cost"]["p"] == pytest.approx(0.5) and made["spent"] <= 1e4
    assert made["of"] == "a" and made["expected_width"] < np.ptp(made["interval"])
    # the optimum of this budget wants more data than any candidate has
    assert "above" in made["alternatives"]["run at the optimum"]["refused"]
    assert "of its width (repeat what is there: 0." in made["statement"]
    other = plan_table(
        table, 1e4, cost="seconds", form="joint_tied", group="run", confidence=0.5, of="alpha", **options
    )
    assert (other["form"], other["confidence"]) == ("joint_tied", 0.5)
    with pytest.raises(ChemscaleError, match="needs the column flops"):
        plan_table(table, 1e4, cost="flops", **options)


def test_no_cell_is_repeated_more_often_than_allowed_whatever_the_budget(boot):
    for most, budget in ((3, 1e30), (5, 1e30), (2, BUDGET)):
        made = plan(boot, candidate_grid(N, D), SIX_N_D, budget, max_repeats=most)
        cells = [*made["cells"], *made["alternatives"]["repeat what is there"]["cells"]]
        assert max(cell["repeats"] for cell in cells) <= most == made["max_repeats"]
    assert "they cost" not in made["statement"]
    rich = plan(boot, candidate_grid(N, D), SIX_N_D, 1e30)
    assert f"they cost {rich['spent']:.3g}, as the candidates around these runs are few" in rich["statement"]


def test_a_budget_that_lowers_no_loss_is_refused(boot):
    with pytest.raises(NotFittable, match=r"budget = 1\.05792e\+08: no affordable cell is predicted to have"):
        plan(boot, candidate_grid(N, D), SIX_N_D, BUDGET / 1000, goal="loss")


def test_what_one_ray_of_runs_cannot_tell_is_not_promised():
    n = np.logspace(4, 6, 8)
    noise = np.exp(0.01 * np.random.default_rng(0).normal(size=8))
    loss = (1 + (n / 1e4) ** -0.35 + (n / 1e4) ** -0.3) * noise
    ray = bootstrap(fit_law("joint", {"N": n, "D": 20 * n}, loss, starts=16), 50)
    budget = float(SIX_N_D.of(n, 20 * n).sum())
    made = plan(ray, candidate_grid(n, 20 * n), SIX_N_D, budget)
    assert made["width_ratio"] is None and made["expected_width"] is None
    assert "cannot be predicted, because log N and log D of the runs correlate at 1.00" in made["statement"]
    ratios = {cell["D"] / cell["N"] for cell in made["cells"]}
    assert max(ratios) > 5 * min(ratios)  # the cells leave the ray
    json.dumps(made, allow_nan=False)
    with pytest.raises(NotFittable, match="no loss can be predicted off the ray of the runs"):
        plan(ray, candidate_grid(n, 20 * n), SIX_N_D, budget, goal="loss")


def test_noise_that_hides_a_quantity_forbids_promises():
    noise = np.exp(0.3 * np.random.default_rng(1).normal(size=15))
    loss = (1 + (N / 1e4) ** -0.35 + (D / D.min()) ** -0.3) * noise
    made = plan(
        bootstrap(fit_law("joint", {"N": N, "D": D}, loss, starts=16), 50), candidate_grid(N, D), SIX_N_D, BUDGET
    )
    assert made["width_ratio"] is None and "the runs so far do not determine it" in made["statement"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 1.0}, "the cheapest candidate costs"),
        ({"goal": "fame"}, "choose one of interval, loss"),
        ({"of": "gamma"}, "choose one of alpha, beta, E, a,"),
        ({"of": {"N": 1e6}}, "give both N and D"),
    ],
)
def test_plans_that_cannot_be_made_are_refused(boot, options, said):
    with pytest.raises(ChemscaleError, match=said):
        plan(boot, candidate_grid(N, D), SIX_N_D, **{"budget": BUDGET} | options)


def test_a_curve_is_not_planned_for():
    fit = fit_law("power", D, D**-0.2 + 1e-6 * N)
    with pytest.raises(ChemscaleError, match="a law of N and D"):
        plan(bootstrap(fit, 5), candidate_grid(N, D), SIX_N_D, BUDGET)


def test_the_verb_plans_from_a_table(tmp_path, capsys):
    loss = (1 + (N / 1e4) ** -0.35 + (D / D.min()) ** -0.3) * np.exp(0.01 * np.random.default_rng(0).normal(size=15))
    table = pd.DataFrame({"n": N, "d": D, "loss": loss, "family": "mine"})
    table.to_csv(tmp_path / "runs.csv", index=False)
    columns = ["--loss", "loss", "--params", "n", "--data", "d", "--family", "mine"]
    asked = ["plan", str(tmp_path / "runs.csv"), *columns]
    asked += ["--budget", str(BUDGET), "--out", str(tmp_path / "plan.json")]
    assert cli.main([*asked, "--of", "N=1e6, D=1e5"]) == 0
    planned = json.loads((tmp_path / "plan.json").read_text())
    assert planned["spent"] <= BUDGET and planned["width_ratio"] < 1
    assert planned["statement"] in capsys.readouterr().err
    for change, message in (
        (["--of", "N=1e6;D"], "write N=1e9,D=1e10 or x=1e9"),
        (["--of", "gamma"], "of = 'gamma': choose one of"),
        (["--family", "yours"], "--family yours: not in"),
    ):
        assert cli.main([*asked, *change]) == 2
        assert message in capsys.readouterr().err
