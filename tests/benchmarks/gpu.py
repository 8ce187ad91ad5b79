"""Training steps on one GPU: python tests/benchmarks/gpu.py [--only language,potential,many,compiled] [--out FILE]

* `language`: tokens/s and share of the matrix product's rate (MFU) of ChemGPT at widths 64 to 2048, in float32 (to
  width 512), in bfloat16, and as a CUDA graph, against GPT-Neo of transformers with the same weights
* `many`: steps/s of small language trainings that share the card, by number of processes, with and without MPS
* `potential`: atoms/s of every family against schnetpack's own SchNet and PaiNN; `compiled`: the same with compiled
  steps, which take half a minute each to compile

Every number is the median over windows, peers in turn, the device waited for at the ends of a window. MFU counts exact
training FLOPs (all T² pairs of attention), relative to a bfloat16 product of 8192³ in the same run. With
`--device cpu --small` the same code runs on a CPU in a minute; its numbers mean nothing.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from parts import markdown

STEPS, ROUNDS = 8, 5
WINDOW_SECONDS = 0.3  # of slow steps, fewer than STEPS are timed
SMALL = argparse.Namespace(widths=(64,), layers=1, B=2, T=16, atoms=(60,), processes=(1, 2), seconds=1.0, gemm=256)
FULL = argparse.Namespace(
    widths=(64, 128, 256, 512, 1024, 2048),
    layers=24,
    B=128,
    T=64,
    atoms=(1_000, 20_000),
    processes=(1, 4, 16),
    seconds=4.0,
    gemm=8192,
)
VOCABULARY = 684
CUTOFF, DEPTH, WIDTH = 5.0, 3, 64  # Å, layers, channels of potentials


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(step: Callable[[], object], device: str, steps: int) -> float:
    """Seconds of one of `steps` steps."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return (time.perf_counter() - start) / steps


def interleaved(peers: dict[str, Callable[[], object]], device: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of a step of every peer, in turn, after warm-up. A peer that fails is left out, with a word."""
    times: dict[str, list[float]] = {}
    counts = {}
    for name, step in peers.items():
        try:
            seconds(step, device, 2)
            counts[name] = min(STEPS, max(1, round(WINDOW_SECONDS / seconds(step, device, 1))))
            times[name] = []
        except Exception as error:  # one peer that fails must not cost the others their numbers
            print(f"{name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True)
    for _ in range(rounds):
        for name, of_peer in times.items():
            of_peer.append(seconds(peers[name], device, counts[name]))
    return {name: statistics.median(of_peer) for name, of_peer in times.items()}


def gemm_rate(device: str, size: int) -> float:
    """FLOP/s of a bfloat16 product of random matrices."""
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    return 2 * size**3 / interleaved({"gemm": lambda: a @ b}, device)["gemm"]


def language(device: str, sizes: argparse.Namespace) -> Iterator[dict]:
    """Rows of ChemGPT by width, against GPT-Neo."""
    from language_peers import gpt_neo_loss, our_loss, same_model, trainer

    from chemscale.models.chemgpt.network import forward_flops
    from chemscale.models.family import GPTShape

    ceiling = gemm_rate(device, sizes.gemm)
    for width in sizes.widths:
        torch.manual_seed(1)
        tokens = torch.randint(5, VOCABULARY, (sizes.B, sizes.T + 1))
        shape = GPTShape(layers=sizes.layers, heads=16 if width <= 256 else width // 64, width=width, context=2048)
        small = width <= 512
        ours, theirs = same_model(shape, VOCABULARY, tokens[:2]) if small else (_built(shape, device), None)
        tokens = tokens.to(device)
        peers = {}
        for bf16 in (False, True) if small else (True,):  # float32 takes a second a step beyond
            precision = "bfloat16" if bf16 else "float32"
            if theirs is not None:
                step = trainer(deepcopy(theirs).to(device), gpt_neo_loss, bf16)
                peers["GPT-Neo", precision] = lambda step=step, tokens=tokens: step(tokens)
            step = trainer(deepcopy(ours).to(device), our_loss, bf16)
            peers["ours", precision] = lambda step=step, tokens=tokens: step(tokens)
        if device == "cuda" and small:
            peers["ours, CUDA graph", "bfloat16"] = _graphed(deepcopy(ours).to(device), tokens)
        found = interleaved(peers, device)
        flops = 3 * forward_flops(shape, VOCABULARY, torch.tensor([sizes.T] * sizes.B)).item()
        for (who, precision), per_step in found.items():
            reference = found.get(("GPT-Neo", precision))
            yield {
                "width": width,
                "parameters": sum(p.numel() for p in ours.parameters()),
                "model": who,
                "precision": precision,
                "ms a step": 1e3 * per_step,
                "tokens/s": sizes.B * sizes.T / per_step,
                "MFU": flops / per_step / ceiling,
                "× GPT-Neo": reference / per_step if reference else None,
            }


def _built(shape, device: str):
    from chemscale.models.chemgpt.network import ChemGPT

    torch.manual_seed(0)
    with torch.device(device):  # a minute of random numbers on a CPU
        return ChemGPT(shape, VOCABULARY)


def _graphed(model: torch.nn.Module, tokens: torch.Tensor) -> Callable[[], None]:
    """A whole training step, captured once and replayed: no launch of a kernel waits for Python."""
    from language_peers import CLIP, our_loss

    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True, capturable=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=False)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = our_loss(model, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):  # a capture needs gradients and the optimiser's state to be there
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def potential(
    device: str, sizes: argparse.Namespace, store: Path | None = None, compiled: bool = False
) -> Iterator[dict]:
    """Rows of every family of potentials by the number of atoms of a batch, SchNet and PaiNN against schnetpack."""
    from potential_pipelines import REPRESENTATIONS, as_theirs, our_compiled_step, our_step, pair, their_step

    from chemscale.geometries.batches import GeometryBatches
    from chemscale.geometries.references import fit_references
    from chemscale.geometries.store import open_geometries
    from chemscale.models.potentials import build_potential
    from chemscale.models.registry import families_of
    from chemscale.training.compiled_step import distinct_sizes

    with _geometries(store) as directory:
        geometries = open_geometries(directory)
        rows = geometries.rows("train", geometries.header["structures"]["train"])
        references = fit_references(geometries, rows)
        batches = {}
        for atoms in sizes.atoms:
            stream = iter(GeometryBatches(geometries, rows, references, CUTOFF, atoms, seed=0, device=device))
            batches[atoms] = [parts[0].batch for parts in islice(stream, 4)]
        for family in sorted(families_of("potential"), key=lambda name: name not in REPRESENTATIONS):
            torch.manual_seed(0)
            task = None
            if family in REPRESENTATIONS:
                model, task = pair(family, WIDTH)
            else:
                model = build_potential(family, DEPTH, WIDTH, CUTOFF)
            peers = {"schnetpack": their_step(deepcopy(task).to(device))} if task else {}
            peers["ours"] = our_step(deepcopy(model).to(device))
            if compiled:
                example = next((b for given in batches.values() for b in given if distinct_sizes(model, b)), None)
                try:
                    peers["ours, compiled"] = our_compiled_step(deepcopy(model).to(device), example)
                except Exception as error:
                    print(
                        f"{family}, compiled: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True
                    )
            for given in batches.values():
                theirs = [_on(as_theirs(_on(batch, "cpu")), device) for batch in given]
                steps = {who: _over(step, theirs if who == "schnetpack" else given) for who, step in peers.items()}
                found = interleaved(steps, device, rounds=3)
                for who, per_step in found.items():
                    yield _atoms_row(family, given, who, per_step, found.get("schnetpack"))


def _atoms_row(family: str, batches: list[dict], who: str, per_step: float, reference: float | None) -> dict:
    from chemscale.geometries import keys

    atoms = statistics.mean(len(batch[keys.Z]) for batch in batches)
    return {
        "family": family,
        "atoms a batch": round(atoms),
        "step": who,
        "ms a step": 1e3 * per_step,
        "atoms/s": atoms / per_step,
        "× schnetpack": reference / per_step if reference else None,
    }


def _on(batch: dict, device: str) -> dict:
    return {key: value.to(device) for key, value in batch.items()}


def _over(step: Callable, batches: list) -> Callable[[], object]:
    """A step on the next of `batches`, again and again."""
    turn = iter(range(sys.maxsize))
    return lambda: step(batches[next(turn) % len(batches)])


@contextmanager
def _geometries(store: Path | None) -> Iterator[Path]:
    """A store of labelled structures: a finished one, or one made here."""
    if store:
        yield store
        return
    from potential_pipelines import data

    with data() as (geometries, _, _):
        yield geometries.directory


def many(device: str, sizes: argparse.Namespace) -> Iterator[dict]:
    """Rows of small language trainings (width 64, 8 × 40 tokens) that share the card, by number of processes."""
    alone = None
    for mps in (False, True) if device == "cuda" and shutil.which("nvidia-cuda-mps-control") else (False,):
        with _mps() if mps else nullcontext():
            for processes in sizes.processes:
                rate = _rate_of(processes, device, sizes.seconds)
                alone = alone or rate
                yield {"processes": processes, "MPS": mps, "steps/s in all": rate, "× one process": rate / alone}


@contextmanager
def _mps() -> Iterator[None]:
    """NVIDIA's Multi-Process Service, with folders of its own: kernels of several processes run at once."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
        try:
            yield
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True)
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]


def _rate_of(processes: int, device: str, duration: float) -> float:
    """Steps a second of all `processes` together."""
    context = multiprocessing.get_context("spawn")
    barrier, counts = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_small_training, args=(device, duration, barrier, counts)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    rate = sum(counts.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    return rate


def _small_training(device: str, duration: float, barrier, counts) -> None:
    """Train a small model for `duration` seconds; put the steps a second on `counts`."""
    from language_peers import our_loss, trainer

    from chemscale.models.registry import language_family

    torch.set_num_threads(1)
    family = language_family("chemgpt-slim")
    step = trainer(family.build(family.shape(64), VOCABULARY).to(device), our_loss)
    tokens = torch.randint(5, VOCABULARY, (8, 41), device=device)
    seconds(lambda: step(tokens), device, 5)
    barrier.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < duration:
        seconds(lambda: step(tokens), device, 10)
        done += 10
    counts.put(done / (time.perf_counter() - start))


def card(device: str) -> str:
    """Name of the device and version of torch."""
    if device != "cuda":
        return f"{device}, torch {torch.__version__}"
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    ).stdout.strip()
    return f"{torch.cuda.get_device_name()}, driver {driver}, torch {torch.__version__}"


PARTS = {"language": language, "potential": potential, "many": many, "compiled": partial(potential, compiled=True)}

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(PARTS), help="parts, by commas")
    options.add_argument("--device", default="cuda")
    options.add_argument("--small", action="store_true", help="tiny sizes, to try the code")
    options.add_argument("--store", type=Path, help="folder of a finished store of geometries")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks/gpu.json"))
    options = options.parse_args()
    results: dict = {"device": card(options.device)}
    print(results["device"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for part in options.only.split(","):
        extra = {"store": options.store} if part in ("potential", "compiled") else {}
        results[part] = []
        for row in PARTS[part](options.device, SMALL if options.small else FULL, **extra):
            results[part].append(row)
            options.out.write_text(json.dumps(results, indent=1))  # what is measured survives a lost lease
        print(f"\n## {part}\n\n{markdown(results[part])}" if results[part] else f"{part}: nothing", flush=True)
