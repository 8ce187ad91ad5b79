"""Packs: small cells that a cluster trains one after the other in one job, instead of one job each.

A scheduler takes longer to start a job than a tiny cell takes to train. Each cell keeps its own record, checkpoints and
log; a job that is killed goes on with the cells that are left.
"""

import math
from collections.abc import Mapping

from chemscale.study.estimates import SHORTEST_LIMIT, Estimate
from chemscale.study.grid import Cell
from chemscale.study.site import Site

LARGEST_MINUTES = 5.0  # of a cell, with the margin of its estimate; larger ones are jobs of their own
START_MINUTES = 1  # of each cell: imports, and reading of the data


def packs(cells: Mapping[str, Cell], estimates: Mapping[str, Estimate], site: Site) -> dict[str, list[str]]:
    """Return the cells of every pack of two or more, in order, by the name of the pack.

    A pack holds cells of one family, as these wait for the same data and learning rates, up to the `pack_minutes` of
    the site.
    """
    found: dict[str, list[str]] = {}
    open_packs: dict[tuple[str, str], tuple[str, float]] = {}  # (arm, family) -> its name and minutes
    for name, cell in cells.items():
        minutes = _minutes(estimates[name])
        if estimates[name].gpu or minutes > min(LARGEST_MINUTES, site.pack_minutes):
            continue
        family = cell.arm, cell.family
        pack, so_far = open_packs.get(family, ("", math.inf))
        if so_far + minutes > site.pack_minutes:
            pack, so_far = f"pack-{cell.arm}-{cell.family}-{len(found)}", 0.0
            found[pack] = []
        found[pack].append(name)
        open_packs[family] = pack, so_far + minutes
    return {pack: members for pack, members in found.items() if len(members) > 1}


def runtime_in_pack(estimate: Estimate, first: bool) -> int:
    """Return the minutes that a cell adds to the time limit of its pack's job; the first adds those of any job."""
    return math.ceil(_minutes(estimate)) + (SHORTEST_LIMIT if first else 0)


def _minutes(estimate: Estimate) -> float:
    return estimate.margin * estimate.seconds / 60 + START_MINUTES
