"""Commands that use trained models."""

import json
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from chemscale.cli.app import Dataset, Gpus, Model, OutJson, OutParquet, Seed, Summary, command
from chemscale.errors import ChemscaleError
from chemscale.files import require_paths
from chemscale.processes import one_thread
from chemscale.training.devices import gpus as leased


@command("Models")
def generate(
    model: Model,
    out: Annotated[Path, Option(help="Table of molecules to write, .csv or .parquet.")],
    number: Annotated[int, Option(help="Number of molecules to generate.")] = 1000,
    temperature: Annotated[float, Option(help="Divisor of the logits; 0 always takes the most likely token.")] = 1.0,
    top_k: Annotated[int | None, Option(help="Draw only from this many most likely tokens.")] = None,
    top_p: Annotated[
        float | None, Option(help="Draw only from the most likely tokens of this total probability.")
    ] = None,
    seed: Seed = 0,
    batch: Annotated[int, Option(help="Molecules generated at once; does not change the result.")] = 500,
    max_tokens: Annotated[int | None, Option(help="Most tokens per molecule; default: the model's context.")] = None,
    prefix: Annotated[
        str | None,
        Option(help="SMILES or bracketed SELFIES that every molecule begins with; grows at its end or at *."),
    ] = None,
    scaffold: Annotated[
        str | None,
        Option(help="SMILES that every molecule begins with, and that is looked for; grows at its end or at *."),
    ] = None,
    corpus: Annotated[
        Path | None, Option(help="Folder of the training dataset, to compare the molecules with.")
    ] = None,
    properties: Annotated[Path | None, Option(help="Output of `properties`; computed if not given.")] = None,
    summary: Summary = None,
    gpus: Gpus = None,
) -> None:
    """Generate molecules with a trained ChemGPT and measure their quality."""
    if prefix is not None and scaffold is not None:
        raise ChemscaleError("--prefix, --scaffold: both say how molecules begin; give only one of them")
    require_paths(model, corpus, properties)
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    sampling |= {"batch": batch, "max_tokens": max_tokens}
    with leased(gpus, single_thread=False):
        from chemscale.generation.generate import generate

        content = generate(model, out, number, summary, prefix, scaffold, corpus, properties, **sampling)
    print(json.dumps(content, indent=2))


@command("Models")
def properties(
    corpus: Dataset,
    molecules: Annotated[int, Option(help="Number of molecules, from the start of the training split.")],
    out: OutParquet,
) -> None:
    """Compute the properties of training molecules that `generate` compares its molecules with."""
    require_paths(corpus)
    from chemscale.generation.properties import write_properties
    from chemscale.molecules.store import open_corpus

    write_properties(open_corpus(corpus), molecules, out)


@command("Models")
def score(
    file: Annotated[Path, Argument(help="File of generated SMILES, as text, .csv or .parquet; may be compressed.")],
    reference: Annotated[Path, Option(help="File of molecules to compare with, such as a test set.")],
    train: Annotated[
        Path | None, Option(help="File of molecules that are not novel; default: those of --reference.")
    ] = None,
    column: Annotated[str | None, Option(metavar="COL", help="Column of SMILES; default: detected.")] = None,
    confidence: Annotated[float, Option(help="Confidence level of the intervals.")] = 0.9,
    out: Annotated[Path | None, Option(help="JSON file to write as well.")] = None,
) -> None:
    """Score generated molecules of any model by the metrics of MOSES, each with an interval."""
    require_paths(file, reference, train)
    from chemscale.files import write_json
    from chemscale.generation.score import score

    content = score(file, reference, train, column, confidence)
    if out:
        write_json(out, content)
    print(json.dumps(content, indent=2))


@command("Models")
def embed(
    model: Model,
    molecules: Annotated[Path, Argument(help="File of SMILES, one per line, or .csv; may be compressed.")],
    out: Annotated[Path, Option(help=".parquet for a row per line, .npy for the vectors of readable molecules.")],
    column: Annotated[str | None, Option(metavar="COL", help="Column of SMILES; default: detected.")] = None,
    pool: Annotated[
        Literal["mean", "last"], Option(help="Mean over the symbols of a molecule, or the last state.")
    ] = "mean",
    neighbours: Annotated[
        int | None, Option(metavar="K", help="Compare K nearest neighbours with those by ECFP4.")
    ] = None,
    gpus: Gpus = None,
) -> None:
    """Turn molecules into vectors by a trained ChemGPT."""
    require_paths(model, molecules)
    with leased(gpus, single_thread=False):
        from chemscale.embedding.embed import embed

        embed(model, molecules, out, pool, column, neighbours)


@command("Models")
def export(
    model: Model,
    to: Annotated[
        str, Option(metavar="TARGET", help="Target: hf (ChemGPT for transformers) or ase (potential for ASE).")
    ],
    out: Annotated[Path, Option(help="Folder to write; must be new or an earlier export.")],
) -> None:
    """Write a trained model in the format of another tool."""
    require_paths(model)
    from chemscale.export import export

    export(model, to, out)


@command("Models")
def minima(
    store: Dataset,
    out: OutParquet,
    molecules: Annotated[int, Option(help="Number of molecules, from those kept out of training.")] = 16,
    seed: Seed = 0,
) -> None:
    """Relax molecules by GFN2-xTB for `simulate` to start from and compare with."""
    require_paths(store)
    one_thread()
    from chemscale.geometries.store import open_geometries
    from chemscale.simulation.relaxation import write_minima

    write_minima(open_geometries(store), molecules, seed, out)


@command("Models")
def simulate(
    model: Model,
    minima: Annotated[Path, Argument(help="Molecules to start from, as written by `minima`.")],
    out: OutParquet,
    temperature: Annotated[float, Option(help="Temperature in K.")] = 500.0,
    picoseconds: Annotated[float, Option(help="Length of the dynamics in ps.")] = 0.5,
    step: Annotated[float, Option(help="Time step in fs.")] = 0.5,
    seed: Seed = 0,
    summary: Summary = None,
    gpus: Gpus = None,
) -> None:
    """Run molecular dynamics and relaxations with a trained potential and measure their quality."""
    require_paths(model, minima)
    how = {"temperature": temperature, "picoseconds": picoseconds, "step": step, "seed": seed}
    with leased(gpus):
        from chemscale.simulation.simulate import simulate

        content = simulate(model, minima, out, summary, **how)
    print(json.dumps(content, indent=2))


@command("Models")
def evaluate(
    model: Model,
    stores: Annotated[list[Path], Argument(metavar="STORE...", help="Folders of datasets of geometries.")],
    out: OutJson,
    structures: Annotated[int | None, Option(help="Most structures per split; default: all.")] = None,
    gpus: Gpus = None,
) -> None:
    """Compute the errors of a trained potential on other datasets, per split and per number of heavy atoms."""
    require_paths(model, *stores)
    with leased(gpus):
        from chemscale.simulation.evaluate import evaluate

        content = evaluate(model, stores, out, structures)
    print(json.dumps(content, indent=2))
