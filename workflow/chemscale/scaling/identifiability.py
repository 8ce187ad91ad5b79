"""What a table can and cannot say about a law: every fit gets one sentence, and its undetermined numbers are named."""

from dataclasses import dataclass

from chemscale.scaling.fitting import Fit
from chemscale.scaling.profile import profile_interval
from chemscale.scaling.uncertainty import Bootstrap

LEAST_DECADES = 1.0  # of each variable; on less, an exponent is a local slope
LARGEST_CORRELATION = 0.9  # of log N and log D; beyond it the runs lie on one ray and α and β trade off
WIDEST = 1.0  # width of an exponent's interval over the exponent
LIMIT_CONFIDENCE = 0.95  # of the one-sided limit of a floor


@dataclass(frozen=True)
class Identification:
    """Whether a fit is determined by its table. `unidentified` names parameters that must not be quoted as numbers."""

    unidentified: tuple[str, ...]
    statement: str
    floor_limits: tuple[float, float] | None  # one-sided 95 % each

    @property
    def identified(self) -> bool:
        return not self.unidentified

    def to_dict(self) -> dict:
        return {
            "identified": self.identified,
            "unidentified": list(self.unidentified),
            "statement": self.statement,
            "floor_limits": list(self.floor_limits) if self.floor_limits else None,
        }


def wider_interval(name: str, boot: Bootstrap, by_group: Bootstrap | None, confidence: float) -> tuple[float, float]:
    """The interval that counts: of draws of rows and draws of groups, the wider one."""
    intervals = [draws.interval(name, confidence) for draws in (boot, by_group) if draws]
    return max(intervals, key=lambda ends: ends[1] - ends[0])


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
    limits = None
    if fit.form.floor:
        limits = profile_interval(fit, fit.form.floor, 2 * LIMIT_CONFIDENCE - 1)
        if limits[0] == 0:
            unidentified.append(fit.form.floor)
            reasons.append(f"no floor fits as well ({fit.form.floor} < {limits[1]:.3g} at {LIMIT_CONFIDENCE:.0%})")

    unique = tuple(name for name in fit.form.parameters if name in unidentified)
    if unique:
        statement = f"Not identified ({', '.join(unique)}): {'; '.join(reasons)}."
    else:
        shown = []
        for name in fit.form.exponents:
            low, high = wider_interval(name, boot, by_group, confidence)
            shown.append(f"{name} {fit.parameters[name]:.3g} ({low:.3g} to {high:.3g})")
        statement = f"Identified: {', '.join(shown)} at {confidence:.0%}"
        statement += f", floor {limits[0]:.3g} to {limits[1]:.3g}." if limits else "."
    return Identification(unique, statement, limits)
