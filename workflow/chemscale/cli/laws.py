"""Commands that fit scaling laws to any table, compare and check them, and plan the next runs."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option
from typer.models import OptionInfo

from chemscale.cli.app import OutJson, Seed, command
from chemscale.errors import ChemscaleError
from chemscale.files import read_table, require_header, write_json
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS, require_level

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger(__name__)


def _column(of: str) -> OptionInfo:
    return Option(metavar="COL", help=f"Column of {of}.")


Table = Annotated[
    Path, Argument(help="Table of losses, .parquet, .csv, .tsv or .jsonl, such as the runs.parquet of a study.")
]
Loss = Annotated[str, _column("losses")]
Form = Annotated[str | None, Option(help="Form of the law, see docs/scaling.md; default: by the columns.")]
Params = Annotated[str | None, _column("parameter counts")]
Data = Annotated[str | None, _column("amounts of data seen")]
Distinct = Annotated[str | None, _column("distinct examples among the data seen, where examples repeat")]
Compute = Annotated[str | None, _column("compute")]
CostColumn = Annotated[str | None, _column("costs, such as FLOPs or device seconds; default: 6 N D")]
Group = Annotated[str | None, _column("groups of rows, such as runs, that are also resampled as wholes")]
Weights = Annotated[str | None, _column("weights")]
ObjectiveName = Annotated[
    str, Option(help="Objective: huber, lad, least_squares, least_squares_log or least_squares_log1p.")
]
Delta = Annotated[float | None, Option(help="Huber's δ of log residuals; default: from their spread.")]
Confidence = Annotated[float, Option(help="Confidence level of the intervals.")]
Draws = Annotated[int, Option(help="Number of bootstrap draws.")]
At = Annotated[
    list[str] | None, Option(metavar="POINT", help="Point to predict, as N=1e9,D=1e10 or x=1e9; repeatable.")
]
Budget = Annotated[list[float] | None, Option(help="Budget to find the best N and D for; repeatable.")]


def _require_forms(forms: Iterable[str | None]) -> None:
    from chemscale.scaling.forms.laws import named_form

    for form in filter(None, forms):
        named_form(form)


@command("Laws")
def fit(
    table: Table,
    out: OutJson,
    arm: Annotated[Literal["language", "potential"] | None, Option(help="Fit all laws of this arm of a study.")] = None,
    loss: Annotated[str | None, _column("losses, to fit one law to any table")] = None,
    form: Form = None,
    params: Params = None,
    data: Data = None,
    distinct: Distinct = None,
    compute: Compute = None,
    group: Group = None,
    weights: Weights = None,
    objective: ObjectiveName = "huber",
    delta: Delta = None,
    confidence: Confidence = DEFAULT_CONFIDENCE,
    draws: Draws = DEFAULT_DRAWS,
    seed: Seed = 0,
    at: At = None,
    budget: Budget = None,
    cost: CostColumn = None,
    where: Annotated[str | None, Option(help="Condition on rows, such as \"data == 'c4'\".")] = None,
    drop_missing: Annotated[bool, Option("--drop-missing", help="Leave out rows that lack a value.")] = False,
    compare: Annotated[bool, Option("--compare", help="Compare all forms for these columns instead.")] = False,
) -> None:
    """Fit scaling laws: all laws of one arm of a study, or one law to any table."""
    if (arm is None) == (loss is None):
        raise ChemscaleError("--arm, --loss: give --arm for the table of a study, or --loss for any other table")
    columns = params, data, compute, distinct
    require_header(table, [loss, *columns, group, weights, cost])
    _require_forms([form])
    require_level(confidence, draws)
    if arm:
        from chemscale.analysis.fits import fit_runs

        write_json(out, fit_runs(read_table(table), arm, confidence, draws, seed))
    elif compare and loss:
        frame = _rows(table, where, drop_missing, loss, *columns, cost)
        _compare(frame, out, loss, columns, form, at, cost, delta)
    elif loss:
        from chemscale.scaling import fit
        from chemscale.scaling.allocation.cost import cost_of_table
        from chemscale.scaling.answers import allocation, answers_text, predictions
        from chemscale.scaling.table import parse_point

        points = [parse_point(point) for point in at or []]
        frame = _rows(table, where, drop_missing, loss, *columns, weights, cost)
        law = fit(frame, loss, *columns, group, weights, form, objective, delta, confidence, draws, seed)
        content = law.to_dict()
        content["predictions"] = predictions(law, points)
        of_runs = cost_of_table(frame, law.fit.x, cost)
        content["cost"] = of_runs.to_dict()
        content["allocation"] = allocated = allocation(law, budget, of_runs) if budget else None
        LOG.info(law)
        LOG.info(answers_text(confidence, content["predictions"], allocated))
        write_json(out, content)


def _rows(table: Path, where: str | None, drop_missing: bool, *columns: str | None) -> "pd.DataFrame":
    from chemscale.scaling.table import choose_rows

    return choose_rows(read_table(table), where, [name for name in columns if name], drop_missing)


def _compare(
    table: "pd.DataFrame",
    out: Path,
    loss: str,
    columns: tuple[str | None, ...],
    form: str | None,
    at: list[str] | None,
    cost: str | None,
    delta: float | None,
) -> None:
    from chemscale.scaling import compare
    from chemscale.scaling.table import parse_point

    points = [parse_point(point) for point in at or []]
    found = compare(table, loss, *columns, cost, [form] if form else None, points, delta)
    LOG.info(found)
    write_json(out, found.to_dict())


@command("Laws")
def check(
    table: Table,
    loss: Loss,
    out: OutJson,
    form: Form = None,
    params: Params = None,
    data: Data = None,
    distinct: Distinct = None,
    compute: Compute = None,
    group: Group = None,
    weights: Weights = None,
    objective: ObjectiveName = "huber",
    delta: Delta = None,
    confidence: Confidence = DEFAULT_CONFIDENCE,
    draws: Draws = DEFAULT_DRAWS,
    seed: Seed = 0,
) -> None:
    """Check a law against its table: forecasts of held-out runs, power law or not, and analysis choices."""
    columns = params, data, compute, distinct, group, weights
    require_header(table, [loss, *columns])
    _require_forms([form])
    from chemscale.scaling import check, fit

    frame = read_table(table)
    content = check(fit(frame, loss, *columns, form, objective, delta, confidence, draws, seed), frame)
    LOG.info(content["statement"])
    write_json(out, content)


@command("Laws")
def isoflop(
    table: Table,
    loss: Loss,
    params: Annotated[str, _column("parameter counts")],
    compute: Annotated[str, _column("compute; runs within 25 % form a group")],
    out: OutJson,
    spline: Annotated[Literal["akima", "cubic"], Option(help="Spline through the losses of a group.")] = "akima",
    confidence: Confidence = DEFAULT_CONFIDENCE,
) -> None:
    """Find the best model size of each compute budget among the runs themselves (IsoFLOP)."""
    require_header(table, [loss, params, compute])
    from chemscale.scaling.allocation.isoflop import isoflop
    from chemscale.scaling.fitting.validation import numbers

    frame = read_table(table)
    columns = (numbers(frame, name) for name in (params, compute, loss))
    content = isoflop(*columns, spline, confidence)
    LOG.info(content["statement"])
    write_json(out, content)


@command("Laws")
def plan(
    table: Table,
    loss: Loss,
    params: Annotated[str, _column("parameter counts")],
    data: Annotated[str, _column("amounts of data")],
    budget: Annotated[float, Option(help="Cost of all planned runs together, in the unit of --compute.")],
    out: OutJson,
    compute: CostColumn = None,
    family: Annotated[str | None, Option(help="Use only the rows of this family.")] = None,
    goal: Annotated[
        Literal["interval", "loss"], Option(help="Narrow the interval of a quantity, or lower the loss.")
    ] = "interval",
    of: Annotated[str, Option(help="Quantity to narrow: alpha, beta, E, a, or a loss as N=1e6,D=1e5.")] = "a",
    max_repeats: Annotated[int, Option(min=1, help="Largest number of runs of one cell.")] = 3,
    max_runs: Annotated[int, Option(min=1, help="Largest number of runs.")] = 20,
    form: Form = "joint",
    group: Group = None,
    weights: Weights = None,
    objective: ObjectiveName = "huber",
    delta: Delta = None,
    confidence: Confidence = DEFAULT_CONFIDENCE,
    draws: Draws = DEFAULT_DRAWS,
    seed: Seed = 0,
) -> None:
    """Choose the next runs for a budget: those that narrow an interval most, or lower the loss most."""
    require_header(table, [loss, params, data, compute, group, weights])
    _require_forms([form])
    from chemscale.scaling.allocation.planner import plan_table
    from chemscale.scaling.table import parse_point

    runs = read_table(table)
    if family:
        known = sorted(set(runs["family"])) if "family" in runs else []
        if family not in known:
            advice = f"choose one of {', '.join(map(str, known))}" if known else "it has none: remove --family"
            raise ChemscaleError(f"--family {family}: not in {table}; {advice}")
        runs = runs[runs["family"] == family]
    quantity = parse_point(of) if "=" in of else of
    content = plan_table(
        runs, budget, goal, quantity, compute, max_repeats, max_runs, loss=loss, params=params, data=data, form=form,
        group=group, weights=weights, objective=objective, delta=delta, confidence=confidence, draws=draws, seed=seed,
    )  # fmt: skip
    LOG.info(content["statement"])
    write_json(out, content)
