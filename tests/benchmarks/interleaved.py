"""Peers timed in turn (A B C A B C …) on cores that others use too, each window between two probes of the machine.

Rates are by CPU time, which waiting for a core does not inflate; wall time stands beside it. The probe is a matrix
product: what it reaches is the ceiling that a window is judged by. A window whose ceilings before and after differ by
more than `STEADY` is measured again, at most `TRIES` times, and counted as unsteady after that.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

STEADY = 0.1  # relative difference of the ceilings around a window
TRIES = 4
PROBE_SECONDS = 0.1


class Window(NamedTuple):
    """One measured piece of a peer's work."""

    amount: float  # of work, in the peer's own unit
    cpu: float  # seconds
    wall: float  # seconds
    load: float  # average of the machine over the last minute
    ceiling: float  # FLOP per CPU second, mean of before and after
    steady: bool


def gemm_rate(dtype: torch.dtype = torch.float32, shape: tuple[int, int, int] = (512, 512, 512)) -> float:
    """FLOP per CPU second of a matrix product (m, k) by (k, n), the best of repeats within `PROBE_SECONDS`."""
    m, k, n = shape
    a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    best, start = float("inf"), time.process_time()
    while time.process_time() - start < PROBE_SECONDS:
        before = time.process_time()
        a @ b
        best = min(best, time.process_time() - before)
    return 2 * m * k * n / best


def interleave(
    peers: dict[str, Callable[[], float]], rounds: int, dtypes: dict[str, torch.dtype] | None = None
) -> dict[str, list[Window]]:
    """`rounds` windows of every peer in turn, after one of each that is not counted.

    A peer is a function that does its work once and returns the amount. `dtypes` names those not judged by float32.
    """
    dtypes = {peer: (dtypes or {}).get(peer, torch.float32) for peer in peers}
    for work in peers.values():
        work()
    windows: dict[str, list[Window]] = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer, work in peers.items():
            windows[peer].append(_steady_window(work, dtypes[peer]))
    return windows


def _steady_window(work: Callable[[], float], dtype: torch.dtype) -> Window:
    for _ in range(TRIES):
        before, cpu, wall = gemm_rate(dtype), time.process_time(), time.perf_counter()
        amount = work()
        cpu, wall, after = time.process_time() - cpu, time.perf_counter() - wall, gemm_rate(dtype)
        steady = abs(before - after) <= STEADY * max(before, after)
        window = Window(amount, cpu, wall, os.getloadavg()[0], (before + after) / 2, steady)
        if steady:
            break
    return window


def rates(windows: list[Window]) -> dict:
    """What a row of a table says of a peer: amounts a second, by CPU and by wall time, best and median."""
    by_cpu = [w.amount / w.cpu for w in windows]
    by_wall = [w.amount / w.wall for w in windows]
    return {
        "best": max(by_cpu),
        "median": statistics.median(by_cpu),
        "wall best": max(by_wall),
        "wall median": statistics.median(by_wall),
        "ceiling GFLOP/s": statistics.median(w.ceiling for w in windows) / 1e9,
        "load": statistics.median(w.load for w in windows),
        "unsteady": sum(not w.steady for w in windows),
    }


def ratio(windows: list[Window], reference: list[Window]) -> float:
    """How many times faster than `reference`: median over rounds of the ratios within a round, by CPU time."""
    pairs = zip(windows, reference, strict=True)
    return statistics.median(w.amount / w.cpu / (r.amount / r.cpu) for w, r in pairs)


def share(windows: list[Window], flops: float) -> float:
    """Median share of the ceiling that `flops` for each unit of the amount make."""
    return statistics.median(flops * w.amount / w.cpu / w.ceiling for w in windows)
