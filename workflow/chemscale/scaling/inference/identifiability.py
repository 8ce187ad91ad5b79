"""What a table can and cannot say about a law: every fit gets one sentence, and its undetermined numbers are named."""

from dataclasses import dataclass

from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.inference.bootstrap import Bootstrap
from chemscale.scaling.inference.profile import allowed, profile_interval, profiled

LEAST_DECADES = 1.0  # of each variable; on less, an exponent is a local slope
LARGEST_CORRELATION = 0.9  # of log N and log D; beyond it the runs lie on one ray and α and β trade off
WIDEST = 1.0  # width of an exponent's interval over the exponent
LIMIT_CONFIDENCE = 0.95  # of the one-sided limit of a floor


@dataclass(frozen=True)
class Identification:
    """Whether a fit is determined by its table. `unidentified` names parameters that must not be quoted as numbers."""

    unidentified: tuple[str, ...]
    statement: str
    limits: dict[str, tuple[float | None, float | None]]  # by profile, one-sided 95 % each; None: no limit

    @property
    def identified(self) -> bool:
        return not self.unidentified

    def to_dict(self) -> dict:
        return {
            "identified": self.identified,
            "unidentified": list(self.unidentified),
            "statement": self.statement,
            "limits": {name: list(ends) for name, ends in self.limits.items()},
        }


def wider_interval(name: str, boot: Bootstrap, by_group: Bootstrap | None, confidence: float) -> tuple[float, float]:
    """The interval that counts: of draws of rows and draws of groups, the wider one."""
    intervals = [draws.interval(name, confidence) for draws in (boot, by_group) if draws]
    return max(intervals, key=lambda ends: ends[1] - ends[0])


def limits_of(fit: Fit) -> dict[str, tuple[float | None, float | None]]:
    """One-sided limits of every parameter that has a profile; None where the profile never rises that far."""
    limits = {}
    for name in profiled(fit):
        low, high = profile_interval(fit, name, 2 * LIMIT_CONFIDENCE - 1)
        lowest, highest = allowed(fit, name)
        limits[name] = (low if low > lowest else None, high if high < highest else None)
    return limits


def limits_text(name: str, ends: tuple[float | None, float | None]) -> str:
    """What a profile allows, such as "E < 0.42 at 95%"."""
    low, high = ends
    if low is None and high is None:
        return f"{name} has no limit"
    text = (f"{low:.3g} < " if low is not None else "") + name + (f" < {high:.3g}" if high is not None else "")
    return f"{text} at {LIMIT_CONFIDENCE:.0%}"


def identify(fit: Fit, boot: Bootstrap, by_group: Bootstrap | None, confidence: float) -> Identification:
    """Judge a fit by its table: spans, collinearity, width of the exponents' intervals, limits of the floor."""
    decades, correlation = fit.certificate["decades"], fit.certificate["correlation"]
    unidentified: list[str] = []
    reasons: list[str] = []

    for exponent in fit.form.exponents:
        for variable in fit.form.variable_of(exponent):
            if decades[variable] < LEAST_DECADES:
                for term in fit.form.terms:
                    unidentified += term.parameters if exponent in term.parameters else ()
                reasons.append(
                    f"{variable} spans {decades[variable]:.2g} decades, less than the {LEAST_DECADES:g} that "
                    f"{exponent} needs"
                )
    if correlation is not None and abs(correlation) > LARGEST_CORRELATION:
        unidentified += fit.form.parameters
        reasons.append(f"log N and log D correlate at {correlation:.2f}, so that their exponents cannot be told apart")
    for name in fit.form.exponents:
        low, high = wider_interval(name, boot, by_group, confidence)
        if high - low > WIDEST * abs(fit.parameters[name]):
            unidentified.append(name)
            reasons.append(f"the {confidence:.0%} interval of {name}, {low:.2g} to {high:.2g}, is wider than its value")
    limits = limits_of(fit)
    if fit.form.floor and limits[fit.form.floor][0] is None:
        unidentified.append(fit.form.floor)
        reasons.append("no floor fits as well")

    unique = tuple(name for name in fit.form.parameters if name in unidentified)
    if unique:
        allowed_values = [limits_text(name, limits[name]) for name in unique if name in limits]
        statement = f"Not identified ({', '.join(unique)}): {'; '.join(reasons)}."
        statement += f" The table allows {', '.join(allowed_values)}." if allowed_values else ""
    else:
        shown = []
        for name in fit.form.exponents:
            low, high = wider_interval(name, boot, by_group, confidence)
            shown.append(f"{name} {fit.parameters[name]:.3g} ({low:.3g} to {high:.3g})")
        statement = f"Identified: {', '.join(shown)} at {confidence:.0%}"
        statement += f", {limits_text('floor', limits[fit.form.floor])}." if fit.form.floor else "."
    return Identification(unique, statement, limits)
