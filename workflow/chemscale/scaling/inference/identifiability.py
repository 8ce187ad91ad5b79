"""Decide which parameters of a law its table determines, and say so in one sentence."""

from dataclasses import dataclass

from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.forms.laws import FORMULA
from chemscale.scaling.inference.bootstrap import Bootstrap, width_ratios
from chemscale.scaling.inference.profile import allowed, profile_interval, profiled

MIN_DECADES = 1.0  # of each variable; on less, an exponent is a local slope
MAX_CORRELATION = 0.9  # of log N and log D; beyond it the runs lie on one ray, and α and β trade off
MAX_RELATIVE_WIDTH = 1.0  # width of the interval of an exponent over the exponent
LIMIT_CONFIDENCE = 0.95  # of each one-sided limit

Limits = tuple[float | None, float | None]  # lower and upper, one-sided 95 % each; None for no limit


@dataclass(frozen=True)
class Identification:
    """Whether a table determines a law. `unidentified` names the parameters that must not be quoted as numbers."""

    unidentified: tuple[str, ...]
    statement: str
    limits: dict[str, Limits]  # by profile likelihood

    @property
    def identified(self) -> bool:
        """Whether all parameters are identified."""
        return not self.unidentified

    def to_dict(self) -> dict:
        """Return plain content for JSON."""
        return {
            "identified": self.identified,
            "unidentified": list(self.unidentified),
            "statement": self.statement,
            "limits": {name: list(ends) for name, ends in self.limits.items()},
        }


def limits_of(fit: Fit, boot: Bootstrap, narrower: Bootstrap | None) -> dict[str, Limits]:
    """Return the one-sided limits of every parameter that has a profile.

    A profile counts rows. Where `boot` draws groups or cases, whose intervals are wider than those by row, its limits
    are as much wider.
    """
    confidence = 2 * LIMIT_CONFIDENCE - 1
    widths = {} if narrower is None or boot.method == "residual" else width_ratios(boot, narrower, confidence)
    limits: dict[str, Limits] = {}
    for name in profiled(fit):
        low, high = profile_interval(fit, name, confidence, max(1.0, widths.get(name) or 1.0))
        lowest, highest = allowed(fit, name)
        limits[name] = (low if low > lowest else None, high if high < highest else None)
    return limits


def limits_text(name: str, ends: Limits) -> str:
    """Return limits as text, such as "E < 0.42 at 95%"."""
    low, high = ends
    if low is None and high is None:
        return f"{name} has no limit"
    text = (f"{low:.3g} < " if low is not None else "") + name + (f" < {high:.3g}" if high is not None else "")
    return f"{text} at {LIMIT_CONFIDENCE:.0%}"


def identify(fit: Fit, boot: Bootstrap, narrower: Bootstrap | None, confidence: float) -> Identification:
    """Judge a fit by the spans and collinearity of its table, and the intervals and limits of its parameters.

    `boot` and `narrower` are those of `wider_bootstrap`.
    """
    decades, correlation = fit.diagnostics["decades"], fit.diagnostics["correlation"]
    unidentified: list[str] = []
    reasons: list[str] = []

    exponents = [name for name in fit.form.exponents if name not in fit.form.fixed]
    for exponent in exponents:
        for variable in fit.form.variables_of(exponent):
            if decades[variable] < MIN_DECADES:
                for term in fit.form.terms:  # the coefficient of a power is as unknown as its exponent
                    if exponent in term.parameters:
                        unidentified += [exponent] if fit.form.name == FORMULA else term.parameters
                reasons.append(
                    f"{variable} spans {decades[variable]:.2g} decades, less than the {MIN_DECADES:g} that "
                    f"{exponent} needs"
                )
    if correlation is not None and abs(correlation) > MAX_CORRELATION:
        unidentified += fit.form.free
        reasons.append(f"log N and log D correlate at {correlation:.2f}, so their exponents cannot be separated")
    for name in exponents:
        low, high = boot.interval(name, confidence)
        if high - low > MAX_RELATIVE_WIDTH * abs(fit.parameters[name]):
            unidentified.append(name)
            reasons.append(f"the {confidence:.0%} interval of {name}, {low:.2g} to {high:.2g}, is wider than its value")
    for name in exponents:
        owners = " and ".join(fit.form.variables_of(name))
        if f"{name} = 0" in fit.diagnostics["at_bounds"]:
            unidentified.append(name)
            reasons.append(f"the loss does not fall with {owners}; if it may rise, set bounds such as {name}=-1:5")
        elif f"{name} at its highest" in fit.diagnostics["at_bounds"]:
            unidentified.append(name)
            reasons.append(f"{name} ends at its highest value; if it may be higher, set bounds such as {name}=0:50")
    limits = limits_of(fit, boot, narrower)
    floor = fit.form.floor if fit.form.floor in limits else None
    if floor and limits[floor][0] is None:
        unidentified.append(floor)
        reasons.append("a law without a floor fits as well")

    unique = tuple(name for name in fit.form.free if name in unidentified)
    if unique:
        allowed_values = [limits_text(name, limits[name]) for name in unique if name in limits]
        statement = f"Not identified ({', '.join(unique)}): {'; '.join(reasons)}."
        statement += f" The table allows {', '.join(allowed_values)}." if allowed_values else ""
    else:
        shown = []
        for name in exponents:
            low, high = boot.interval(name, confidence)
            shown.append(f"{name} {fit.parameters[name]:.3g} ({low:.3g} to {high:.3g})")
        statement = f"Identified: {', '.join(shown)} at {confidence:.0%}"
        statement += f", {limits_text(floor, limits[floor])}." if floor else "."
    rising = [name for name in exponents if boot.interval(name, confidence)[1] < 0]
    for name in rising:
        statement += f" The loss rises with {' and '.join(fit.form.variables_of(name))}: {name} is below 0."
    return Identification(unique, statement, limits)
