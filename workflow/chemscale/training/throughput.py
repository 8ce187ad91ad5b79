"""What the machine can do, measured in the run that is judged by it."""

import math
import resource
import time


def gemm_ceiling(device: str, seconds: float = 0.1) -> float:
    """FLOP/s of a large fp32 matrix product on `device` ("cpu" or "cuda"), the best of repeats within `seconds`."""
    import torch

    n = 512 if device == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    best, start = math.inf, time.perf_counter()
    while time.perf_counter() - start < seconds:
        t = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - t)
    return 2 * n**3 / best


def peak_memory_mb(device: str) -> dict[str, float]:
    """Peak resident memory of this process and, on a GPU, peak memory allocated there, in MB."""
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device == "cuda":
        import torch

        peaks["device"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks
