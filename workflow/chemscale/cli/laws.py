"""Commands that fit scaling laws to any table, compare and check them, and plan the next runs."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option
from typer.models import OptionInfo

from chemscale.cli.app import OutJson, Seed, command
from chemscale.errors import ChemscaleError
from chemscale.files import atomic, read_json, read_table, require_header, write_json
from chemscale.scaling.defaults import DEFAULT_CONFIDENCE, DEFAULT_DRAWS, require_level

if TYPE_CHECKING:
    import pandas as pd

    from chemscale.scaling.law import ScalingLaw

LOG = logging.getLogger(__name__)
FIGURES = (".svg", ".pdf", ".png")
STYLES: dict[str, Literal["text", "markdown", "latex"]] = {".txt": "text", ".md": "markdown", ".tex": "latex"}


def _column(of: str) -> OptionInfo:
    return Option(metavar="COL", help=f"Column of {of}.")


Table = Annotated[
    Path, Argument(help="Table of losses, .parquet, .csv, .tsv or .jsonl, such as the runs.parquet of a study.")
]
Loss = Annotated[str, _column("losses")]
Form = Annotated[
    str | None,
    Option(help="Form (docs/explanation/scaling.md), or a formula such as E + A*x**-alpha; default: by the columns."),
]
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
Fix = Annotated[list[str] | None, Option(metavar="NAME=VALUE", help="Parameter to hold, as E=1.69; repeatable.")]
Tie = Annotated[list[str] | None, Option(metavar="NAME=NAME", help="Parameters to keep equal, as beta=alpha.")]
Bounds = Annotated[
    list[str] | None, Option(metavar="NAME=LOW:HIGH", help="Limits of a parameter, as alpha=-1:2; repeatable.")
]
Where = Annotated[str | None, Option(help="Condition on rows, such as \"data == 'c4'\".")]
DropMissing = Annotated[bool, Option("--drop-missing", help="Leave out rows that lack a value.")]
Budget = Annotated[list[float] | None, Option(help="Budget to find the best N and D for; repeatable.")]


def _constraints(
    form: str | None, fix: list[str] | None, tie: list[str] | None, bounds: list[str] | None, check: bool = True
) -> dict[str, Any]:
    """Return the options of `fit` that constrain a law; raise ChemscaleError for a wrong form or constraint."""
    from chemscale.scaling.forms.constraints import constrain, parse_bounds, parse_fixed, parse_ties

    found: dict[str, Any] = {
        "fix": parse_fixed(fix or []),
        "tie": parse_ties(tie or []),
        "bounds": parse_bounds(bounds or []),
    }
    if form and check:
        constrain(form, **found)
    return found


def _ending(option: str, path: Path, known: Iterable[str]) -> str:
    if path.suffix not in known:
        raise ChemscaleError(f"{option} {path}: choose a name that ends in {', '.join(known)}")
    return path.suffix


def _save_figure(path: Path, law: "ScalingLaw") -> None:
    from chemscale.figures.style import house_style

    house_style()
    with atomic(path) as temporary:
        law.plot_residuals().savefig(temporary)


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
    where: Where = None,
    drop_missing: DropMissing = False,
    fix: Fix = None,
    tie: Tie = None,
    bounds: Bounds = None,
    plot: Annotated[
        Path | None, Option(metavar="FILE", help="Figure to write (.svg, .pdf, .png): the law and its residuals.")
    ] = None,
    summary: Annotated[Path | None, Option(metavar="FILE", help="Summary to write, as .txt, .md or .tex.")] = None,
    compare: Annotated[bool, Option("--compare", help="Compare all forms for these columns instead.")] = False,
) -> None:
    """Fit scaling laws: all laws of one arm of a study, or one law to any table."""
    if (arm is None) == (loss is None):
        raise ChemscaleError("--arm, --loss: give --arm for the table of a study, or --loss for any other table")
    columns = params, data, compute, distinct
    require_header(table, [loss, *columns, group, weights, cost])
    constraints = _constraints(form, fix, tie, bounds, check=not compare)
    require_level(confidence, draws)
    style = STYLES[_ending("--summary", summary, STYLES)] if summary else None
    if plot:
        _ending("--plot", plot, FIGURES)
    if arm:
        from chemscale.analysis.fits import fit_runs

        write_json(out, fit_runs(read_table(table), arm, confidence, draws, seed))
    elif compare and loss:
        frame = _rows(table, where, drop_missing, loss, *columns, cost)
        _compare(frame, out, loss, columns, form, at, cost, delta, constraints)
    elif loss:
        from chemscale.scaling import fit
        from chemscale.scaling.allocation.cost import cost_of_table
        from chemscale.scaling.answers import allocation, answers_text, predictions
        from chemscale.scaling.table import parse_point

        points = [parse_point(point) for point in at or []]
        frame = _rows(table, where, drop_missing, loss, *columns, weights, cost)
        law = fit(frame, loss, *columns, group, weights, form, objective, delta, confidence, draws, seed, **constraints)
        predicted, of_runs = predictions(law, points), cost_of_table(frame, law.fit.x, cost)
        allocated = allocation(law, budget, of_runs) if budget else None
        LOG.info(law)
        LOG.info(answers_text(confidence, predicted, allocated))
        law.save(out, {"predictions": predicted, "cost": of_runs.to_dict(), "allocation": allocated})
        if plot:
            _save_figure(plot, law)
        if summary and style:
            with atomic(summary) as temporary:
                temporary.write_text(law.summary(style) + "\n")


@command("Laws")
def predict(
    law: Annotated[Path, Argument(metavar="FIT", help="File that `chemscale fit` wrote.")],
    out: OutJson,
    at: At = None,
    budget: Budget = None,
    runs: Annotated[int | None, Option(min=1, help="Predict the mean of so many new runs, not the law.")] = None,
) -> None:
    """Predict losses, or the best N and D for a budget, from a law that was fitted before."""
    if not at and not budget:
        raise ChemscaleError("--at, --budget: give a point to predict, such as --at N=1e9,D=1e10, or a budget")
    from chemscale.scaling.allocation.cost import SIX_N_D, Cost
    from chemscale.scaling.answers import allocation, answers_text, predictions
    from chemscale.scaling.law import ScalingLaw
    from chemscale.scaling.table import parse_point

    found = ScalingLaw.load(law)
    predicted = predictions(found, [parse_point(point) for point in at or []], runs)
    cost = Cost.from_dict(read_json(law)["cost"]) if budget and "cost" in read_json(law) else SIX_N_D
    allocated = allocation(found, budget, cost) if budget else None
    LOG.info(answers_text(found.confidence, predicted, allocated))
    content = {"form": found.fit.form.name, "confidence": found.confidence, "runs": runs}
    write_json(out, content | {"predictions": predicted, "allocation": allocated})


def _rows(table: Path, where: str | None, drop_missing: bool, *columns: str | None) -> "pd.DataFrame":
    from chemscale.scaling.table import choose_rows

    return choose_rows(read_table(table), where, [name for name in columns if name], drop_missing)


def _compare(
    table: "pd.DataFrame",
    out: Path,
    loss: str,
    columns: tuple[str | None, str | None, str | None, str | None],
    form: str | None,
    at: list[str] | None,
    cost: str | None,
    delta: float | None,
    constraints: dict[str, Any],
) -> None:
    from chemscale.scaling import compare
    from chemscale.scaling.table import parse_point

    points = [parse_point(point) for point in at or []]
    found = compare(table, loss, *columns, cost, [form] if form else None, points, delta, **constraints)
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
    where: Where = None,
    drop_missing: DropMissing = False,
    fix: Fix = None,
    tie: Tie = None,
    bounds: Bounds = None,
) -> None:
    """Check a law against its table: forecasts of held-out runs, power law or not, and analysis choices."""
    columns = params, data, compute, distinct, group, weights
    require_header(table, [loss, *columns])
    constraints = _constraints(form, fix, tie, bounds)
    from chemscale.scaling import check, fit

    frame = _rows(table, where, drop_missing, loss, *columns[:4], weights)
    content = check(fit(frame, loss, *columns, form, objective, delta, confidence, draws, seed, **constraints))
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
    where: Where = None,
    drop_missing: DropMissing = False,
    fix: Fix = None,
    tie: Tie = None,
    bounds: Bounds = None,
) -> None:
    """Choose the next runs for a budget: those that narrow an interval most, or lower the loss most."""
    require_header(table, [loss, params, data, compute, group, weights])
    constraints = _constraints(form, fix, tie, bounds)
    from chemscale.scaling.allocation.planner import plan_table
    from chemscale.scaling.table import parse_point

    runs = _rows(table, where, drop_missing, loss, params, data, compute, weights)
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
        **constraints,
    )  # fmt: skip
    LOG.info(content["statement"])
    write_json(out, content)
