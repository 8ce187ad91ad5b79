"""Commands on whole studies: what one costs, the tables of its runs, and how several compare."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from chemscale.cli.app import OutFolder, command
from chemscale.files import atomic, read_json, read_yaml, require_paths, write_json


@command("Studies")
def cost(
    config: Annotated[Path, Argument(help="Configuration of the study, such as config/studies/paper.yaml.")],
    results: Annotated[
        Path | None, Option(help="Folder of its results, to compare finished runs; default: results/<study>.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print what every cell of a study costs, the totals and the number of jobs, before anything starts."""
    from chemscale.config.complete import complete
    from chemscale.data.sources import registry
    from chemscale.study import read_site
    from chemscale.study.costs import as_text, costs

    known = registry()
    study = complete(read_yaml(config), known)
    results = results or Path("results") / study["study"]
    bill = costs(study, known | study["datasets"], results, read_site(Path(), os.environ))
    print(json.dumps(bill, indent=2) if as_json else as_text(bill))


@command("Studies")
def collect(
    results: Annotated[Path, Argument(help="Folder of the results of a study.")],
    cells: Annotated[str, Option(help="File with the names of all cells, one per line; - reads standard input.")],
    out: OutFolder,
    sweeps: Annotated[
        list[Path] | None, Argument(metavar="[SWEEP]...", help="Learning-rate sweeps, as written by `tune`.")
    ] = None,
    dataset: Annotated[
        list[Path] | None, Option(help="Header of a dataset (corpus.json or geometries.json); may be repeated.")
    ] = None,
) -> None:
    """Collect the records of all cells of a study into its tables."""
    from chemscale.analysis.collect import collect

    if cells != "-":
        require_paths(Path(cells))
    names = sys.stdin.read() if cells == "-" else Path(cells).read_text()
    collect(results, names.split(), out, sweeps or [], dataset or [])


@command("Studies")
def first_page(
    runs: Annotated[Path, Argument(help="Table of the runs of a study, runs.parquet.")],
    fits: Annotated[list[Path], Argument(metavar="FITS...", help="Fits of its arms, as written by `fit --arm`.")],
    sweeps: Annotated[Path, Option(help="Table of its sweeps, sweeps.parquet.")],
    out: Annotated[Path, Option("--out", help="File of reStructuredText to write.")],
    study: Annotated[str, Option(help="Name of the study.")],
    figure: Annotated[list[Path] | None, Option(help="PNG to show; may be repeated.")] = None,
) -> None:
    """Write the first page of a report: what was found, in sentences, with exponents, faults and cost."""
    import pandas as pd

    from chemscale.figures.first_page import first_page

    require_paths(runs, *fits, sweeps, *(figure or []))
    laws = [read_json(path) for path in fits]
    out.write_text(first_page(study, pd.read_parquet(runs), laws, pd.read_parquet(sweeps), figure or []))


@command("Studies")
def compare(
    studies: Annotated[
        list[str],
        Argument(metavar="STUDY STUDY...", help="Studies: names in results/, or folders; the first is the reference."),
    ],
    out: Annotated[
        Path | None, Option(help="Folder to write; default: results/comparisons/ and the names of the studies.")
    ] = None,
) -> None:
    """Compare finished studies: what differs in their settings, and whether exponents, floors and losses agree."""
    from chemscale.analysis.compare_studies import compare_studies
    from chemscale.analysis.compared_table import compared_table
    from chemscale.analysis.studies import open_studies
    from chemscale.figures.comparison_page import comparison_page
    from chemscale.figures.studies import require_colours, studies_compared
    from chemscale.figures.style import house_style, save

    require_colours(studies)
    opened = open_studies(studies)
    content = compare_studies(opened)
    names = "-".join(re.sub(r"[^\w.]+", "-", study.name).strip("-") for study in opened)
    out = out or Path("results/comparisons") / names
    house_style()
    figure, table = studies_compared(opened, content), compared_table(content)
    save(figure, out, "comparison")
    write_json(out / "comparison.json", content)
    with atomic(out / "comparison.csv") as path:
        table.to_csv(path, index=False)
    with atomic(out / "comparison.html") as path:
        path.write_text(comparison_page(content, figure, table))
    print("\n".join([*content["statements"], f"page: {out / 'comparison.html'}"]))
