"""Small cells share a job on a cluster; large ones, and those with GPUs, have their own."""

import math

import pytest

from chemscale.config.complete import complete
from chemscale.data.sources import registry
from chemscale.study import Estimate, Site, cells, estimate, packs, runtime_in_pack


@pytest.fixture(scope="module")
def table():
    training = {"steps": {"per_sqrt_example": 0, "epochs": 0, "minimum": 100, "maximum": 100}}
    arm = {"training": training, "seeds": {"small_half": 2, "large_half": 2}, "data": [60, 200, 600, 2000]}
    families = {"chemgpt-slim": {"widths": [8, 16, 32, 512], "learning_rate": 0.01}}
    config = complete({"study": "x", "language": {"dataset": "nci-small", "families": families} | arm}, registry())
    return {cell.name: cell for cell in cells(config)}


def estimates(table, seconds, gpu=0):
    return {name: Estimate("chemgpt-slim", seconds(name), 2500, gpu) for name in table}


def test_packs_are_as_long_as_the_site_says(table):
    found = estimates(table, lambda name: 60.0)  # 2 minutes with margin, and 1 to start
    made = packs(table, found, Site())
    assert [len(members) for members in made.values()] == [10, 10, 10, 2] and len(table) == 32
    assert sorted(name for members in made.values() for name in members) == sorted(table), "each cell is in one pack"
    shorter = packs(table, found, Site.from_json({"pack_minutes": 7}))
    assert {len(members) for members in shorter.values()} == {2}


def test_large_cells_and_those_with_gpus_are_jobs_of_their_own(table):
    found = estimates(table, lambda name: 3600.0 if "w512" in name else 30.0)
    assert not any("w512" in name for members in packs(table, found, Site()).values() for name in members)
    assert packs(table, estimates(table, lambda name: 30.0, gpu=1), Site()) == {}
    assert packs(table, found, Site.from_json({"pack_minutes": 0})) == {}


def test_a_pack_asks_for_the_time_of_all_its_cells(table):
    found = {name: estimate(cell) for name, cell in table.items()}
    (members, *_) = packs(table, found, Site()).values()
    asked = sum(runtime_in_pack(found[name], name == members[0]) for name in members)
    needed = sum(2 * found[name].seconds / 60 + 1 for name in members)
    assert needed + 10 <= asked <= needed + 10 + len(members)
    assert all(runtime_in_pack(found[name], False) == math.ceil(2 * found[name].seconds / 60 + 1) for name in members)
