"""Commands that fit scaling laws to any table, and collect the runs of a study in one."""

import logging
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option
from typer.models import OptionInfo

from chemscale.cli.app import OutJson, Seed, command
from chemscale.errors import ChemscaleError
from chemscale.files import read_table, require_header, write_json

LOG = logging.getLogger(__name__)
Table = Annotated[Path, Argument(help="Table of losses, .parquet or .csv, such as the runs.parquet of a study.")]


def _column(of: str) -> OptionInfo:
    return Option(metavar="COL", help=f"Column of {of}.")


@command("Laws")
def fit(
    table: Table,
    out: OutJson,
    arm: Annotated[Literal["language", "potential"] | None, Option(help="Fit all laws of this arm of a study.")] = None,
    loss: Annotated[str | None, _column("losses, to fit one law to any table")] = None,
    form: Annotated[str | None, Option(help="Form of the law, see docs/scaling.md; default: by the columns.")] = None,
    params: Annotated[str | None, _column("parameter counts")] = None,
    data: Annotated[str | None, _column("amounts of data seen")] = None,
    distinct: Annotated[str | None, _column("distinct examples among the data seen, where examples repeat")] = None,
    compute: Annotated[str | None, _column("compute")] = None,
    group: Annotated[str | None, _column("groups of rows, such as runs, that are also resampled as wholes")] = None,
    weights: Annotated[str | None, _column("weights")] = None,
    objective: Annotated[
        str, Option(help="Objective: huber, lad, least_squares, least_squares_log or least_squares_log1p.")
    ] = "huber",
    delta: Annotated[float | None, Option(help="Huber's δ of log residuals; default: from their spread.")] = None,
    confidence: Annotated[float, Option(help="Confidence level of the intervals.")] = 0.9,
    draws: Annotated[int, Option(help="Number of bootstrap draws.")] = 500,
    seed: Seed = 0,
) -> None:
    """Fit scaling laws: all laws of one arm of a study, or one law to any table."""
    if (arm is None) == (loss is None):
        raise ChemscaleError("--arm, --loss: give --arm for the table of a study, or --loss for any other table")
    columns = params, data, compute, distinct, group, weights
    require_header(table, [loss, *columns])
    if form:
        from chemscale.scaling.forms.laws import named_form

        named_form(form)
    if arm:
        from chemscale.analysis.fits import fit_runs

        write_json(out, fit_runs(read_table(table), arm, confidence, draws, seed))
    elif loss:
        from chemscale.scaling import fit

        law = fit(read_table(table), loss, *columns, form, objective, delta, confidence, draws, seed)
        LOG.info(law)
        write_json(out, law.to_dict())


@command("Laws")
def plan(
    table: Table,
    loss: Annotated[str, _column("losses")],
    params: Annotated[str, _column("parameter counts")],
    data: Annotated[str, _column("amounts of data")],
    budget: Annotated[float, Option(help="Cost of all planned runs together, in the unit of --compute.")],
    out: OutJson,
    compute: Annotated[str | None, _column("costs, such as FLOPs or device seconds; default: 6 N D")] = None,
    family: Annotated[str | None, Option(help="Use only the rows of this family.")] = None,
    goal: Annotated[
        Literal["interval", "loss"], Option(help="Narrow the interval of a number, or lower the loss.")
    ] = "interval",
    of: Annotated[str, Option(help="Number to narrow: alpha, beta, E, a, or a loss as N=1e6,D=1e5.")] = "a",
    form: Annotated[str, Option(help="Form of the law of N and D.")] = "joint",
) -> None:
    """Choose the next runs for a budget: those that narrow a number most, or lower the loss most."""
    require_header(table, [loss, params, data, compute])
    from chemscale.scaling.forms.laws import named_form

    named_form(form)
    from chemscale.scaling.allocation.planner import plan_table, target

    runs = read_table(table)
    if family:
        runs = runs[runs["family"] == family] if "family" in runs else runs.iloc[:0]
        if runs.empty:
            raise ChemscaleError(f"{table}: no rows of the family {family}")
    content = plan_table(runs, loss, params, data, compute, budget, goal, target(of), form)
    LOG.info(content["statement"])
    write_json(out, content)
