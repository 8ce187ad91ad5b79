"""A fitted law as text, Markdown or LaTeX: its parameters, and how each number was found."""

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chemscale.errors import ChemscaleError
from chemscale.scaling.forms.constraints import constraints_text

if TYPE_CHECKING:
    from chemscale.scaling.law import ScalingLaw

METHODS = {
    "residual": "residuals of rows",
    "cases": "whole rows or groups",
    "wild": "residuals that groups share",
}  # of a bootstrap, in words
GREEK = {"alpha": r"$\alpha$", "beta": r"$\beta$"}
SYMBOLS = {
    "α": r"\alpha",
    "β": r"\beta",
    "₀": "_0",
    "₁": "_1",
    "−": "-",
    "exp": r"\exp",
}  # of a formula, in LaTeX


def parameter_table(law: "ScalingLaw") -> pd.DataFrame:
    """Return one row per parameter, and `a`: value, standard error, interval, and a note."""
    form, errors = law.fit.form, law.bse
    rows = []
    for name in form.quantities:
        low, high = law.interval(name)
        value = law.parameters.get(name, float(law.fit.quantity(name, law.fit.theta)))
        error = errors.get(name, float(np.std(law.boot.draws_of(name), ddof=1)))
        note = "held" if name in form.fixed else ""
        note = "not identified" if name in law.identification.unidentified else note
        rows.append({"": name, "value": value, "std err": error, "low": low, "high": high, "note": note})
        if note == "held":
            rows[-1] |= dict.fromkeys(("std err", "low", "high"), np.nan)
    return pd.DataFrame(rows).set_index("")


def description(law: "ScalingLaw") -> dict[str, str]:
    """Return how the numbers of a law were found, by what each line says."""
    fit, d = law.fit, law.fit.diagnostics
    kind = f"Huber, δ = {fit.delta:.3g} of log loss" if fit.objective.kind == "huber" else fit.objective.kind
    weighted = ", weighted" if np.ptp(fit.weights) > 0 else ""
    found = {
        "form": f"{fit.form.name}: {fit.form.formula}",
        "constraints": constraints_text(fit.form).removeprefix("with "),
        "columns": ", ".join(f"{name}: {column}" for name, column in law.columns.items()),
        "rows": f"{law.nobs}, {law.df_resid} more than parameters",
        "objective": f"{kind}{weighted}; least value {d['objective']:.6g}",
        "convergence": f"{d['share_in_best_basin']:.0%} of {d['starts']} starts agree"
        + (f"; at a bound: {', '.join(d['at_bounds'])}" if d["at_bounds"] else ""),
        "residuals": f"log RMSE {fit.log_rmse:.3g} (1 % of the loss is 0.01)",
        "criteria": f"AICc {law.aicc:.4g}, BIC {law.bic:.4g} (compare at the same rows, objective and δ only)",
        "intervals": f"{law.confidence:.0%}, from {len(law.boot.theta)} draws of {METHODS[law.boot.method]}"
        + (f"; {METHODS[law.narrower.method]} give narrower ones" if law.narrower else ""),
    }
    return {name: text for name, text in found.items() if text}


def written(law: "ScalingLaw", style: str) -> str:
    """Return `description`, `parameter_table` and the statement of a law in one of three styles.

    Raises ChemscaleError for another style.
    """
    if style not in ("text", "markdown", "latex"):
        raise ChemscaleError(f"style = {style!r}: choose text, markdown or latex")
    table = parameter_table(law)
    if not table["note"].any():
        table = table.drop(columns="note")
    shown = table.map(lambda value: value if isinstance(value, str) else "–" if np.isnan(value) else f"{value:.4g}")
    lines, statement = description(law), law.identification.statement
    if style == "text":
        width = max(map(len, lines)) + 2
        head = [f"{name + ':':<{width}}{text}" for name, text in lines.items()]
        return "\n".join([*head, "", shown.to_string(), "", statement])
    if style == "markdown":
        head = [f"* {name}: {text}" for name, text in lines.items()]
        return "\n".join([*head, "", shown.to_markdown(disable_numparse=True), "", statement])
    shown.index = [GREEK.get(str(name), rf"${name}$") for name in shown.index]
    caption = f"${_in_latex(law.fit.form.formula)}$. {statement}".replace("%", r"\%")
    notes = "; ".join(f"{name}: {text}" for name, text in lines.items() if name not in ("form", "columns"))
    body = shown.replace("–", "--").to_latex(caption=caption, escape=False, column_format="l" + "r" * shown.shape[1])
    return "".join(f"% {note}\n" for note in notes.split("; ")) + body


def _in_latex(formula: str) -> str:
    for symbol, command in SYMBOLS.items():
        formula = formula.replace("**", "^").replace(symbol, command)
    formula = re.sub(r"\^\(([^()]*)\)", r"^{\1}", formula)
    return re.sub(r"\^(-?[\\\w]+)", r"^{\1}", formula)
