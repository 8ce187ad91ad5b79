"""What a job asks for: from the work of a cell, within what a cluster allows."""

from dataclasses import replace

import pytest
import yaml

from chemscale import study
from chemscale.config.complete import complete
from chemscale.data.sources import registry

REGISTRY = registry()


@pytest.fixture(scope="module")
def paper(checkout) -> dict:
    return complete(yaml.safe_load((checkout / "config/studies/paper.yaml").read_text()), REGISTRY)


@pytest.fixture(scope="module")
def cells(paper) -> dict[str, study.Cell]:
    return {cell.name: cell for cell in study.cells(paper)}


SMALL, LARGE = "language/chemgpt/w16/100/seed0", "language/chemgpt/w2048/9000000/seed0"


def site(**nodes) -> study.Site:
    return study.Site.from_json({"cpu": nodes, "gpu": nodes})


def test_large_cells_take_more_and_go_to_a_gpu(cells):
    small, large = study.estimate(cells[SMALL]), study.estimate(cells[LARGE])
    assert cells[LARGE].work.parameters == 1_208_455_168
    assert (small.gpu, large.gpu) == (0, 1) and large.seconds > 400 * small.seconds
    assert large.mem_mb > 16 * 1_208_455_168 / 1e6, "weights, gradients and Adam's moments must fit"


@pytest.mark.parametrize("hours", [24, 48])
def test_no_job_of_the_paper_is_longer_than_the_partition_allows(cells, hours):
    minutes = [
        study.resources(study.estimate(cell), 4, site(max_runtime=60 * hours))["runtime"] for cell in cells.values()
    ]
    assert max(minutes) == 60 * hours and min(minutes) == 10
    assert study.estimate(cells[LARGE]).seconds > 48 * 3600, "the largest cell goes on in further jobs"


def test_the_time_limit_is_that_of_the_estimate_for_every_attempt(cells):
    found = replace(study.estimate(cells[SMALL]), seconds=3000.0)
    assert [study.resources(found, attempt)["runtime"] for attempt in (1, 2, 3, 4)] == [100] * 4


def test_memory_grows_from_the_third_attempt_on_and_never_above_the_limit(cells):
    found = replace(study.estimate(cells[SMALL]), mem_mb=2500)
    assert [study.resources(found, attempt)["mem_mb"] for attempt in (1, 2, 3, 4)] == [2500, 2500, 5000, 10000]
    limited = site(max_mem_mb=6000)
    assert [study.resources(found, attempt, limited)["mem_mb"] for attempt in (1, 3, 4)] == [2500, 5000, 6000]


def test_measured_speed_changes_the_estimate_of_its_family_and_device_only(cells):
    found = study.Site.from_json({"calibration": {"chemgpt": {"cpu": 0.5}}})
    assert study.estimate(cells[SMALL], found).seconds == 0.5 * study.estimate(cells[SMALL]).seconds
    assert study.estimate(cells[LARGE], found) == study.estimate(cells[LARGE])
    schnet = cells["potential/schnet/d2-w16/100/seed0"]
    assert study.estimate(schnet, found) == study.estimate(schnet)


def test_sweeps_take_what_their_trials_cost(paper):
    small = study.estimate_sweep(paper, "language", "chemgpt")
    longer = paper | {"language": paper["language"] | {"tune": paper["language"]["tune"] | {"steps": 10_000}}}
    assert study.estimate_sweep(longer, "language", "chemgpt").seconds == pytest.approx(10 * small.seconds)


def test_uses_are_estimated_from_what_the_study_asks(checkout):
    config = complete(yaml.safe_load((checkout / "config/studies/gfn2-small.yaml").read_text()), REGISTRY)
    config["potential"]["simulate"] = {"molecules": 16, "temperature": 500.0, "picoseconds": 0.5, "step_fs": 0.5}
    potentials = [cell for cell in study.cells(config) if cell.arm == "potential"]
    first = potentials[0]
    assert study.uses(config, first) == ["simulate", "evaluate"]
    assert study.uses(config, replace(first, seed=1)) == ["evaluate"]
    short = study.estimate_use(config, "simulate", first, REGISTRY)
    config["potential"]["simulate"]["picoseconds"] = 50.0
    long = study.estimate_use(config, "simulate", first, REGISTRY)
    assert study.resources(short)["runtime"] < 60 < study.resources(long)["runtime"]
    evaluated = study.estimate_use(config, "evaluate", first, REGISTRY)
    config["potential"]["evaluate_on"] = [*config["potential"]["evaluate_on"], "ani-1x"]
    assert study.estimate_use(config, "evaluate", first, REGISTRY).seconds > 1000 * evaluated.seconds
    assert {study.estimate_use(config, "simulate", cell, REGISTRY).gpu for cell in potentials} <= {0, 1}
