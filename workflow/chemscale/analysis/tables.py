"""The tables of the report, from the fits of all arms: exponents, chosen forms, comparisons, and next cells."""

import pandas as pd

from chemscale.analysis.families import MATCHED


def exponent_table(fits: list[dict]) -> pd.DataFrame:
    """Return one row per law of every arm: its exponents with intervals, and whether they are identified."""
    rows = [
        {
            "arm": of_arm["arm"],
            "family": law["family"],
            "law": law["form"],
            "preferred": law["preferred"],
            "along": law["along"],
            "at": _place(law["at"]),
            "exponents": _exponents(law),
            "floor": _short(law["parameters"].get("floor", law["parameters"].get("E"))),
            "identified": law["identified"],
            "statement": law["statement"],
        }
        for of_arm in fits
        for law in (*of_arm["curves"], *of_arm["joint"])
    ]
    return pd.DataFrame(rows)


def judgement_table(fits: list[dict]) -> pd.DataFrame:
    """Return one row per curve: its form, what it would choose alone and by criteria, with errors, and the regime.

    A row per compute frontier follows. The column `analysis choices` says how far they move the exponent.
    """
    rows = []
    for of_arm in fits:
        for judgement in of_arm["judgements"]:
            selection, error = judgement["selection"], judgement["selection"].get("rule_error") or {}
            row = {
                "arm": of_arm["arm"],
                "family": judgement["family"],
                "along": judgement["along"],
                "at": _place(judgement["at"]),
                "form": judgement.get("form", selection.get("chosen")),
                "this curve alone": selection.get("chosen"),
                "chosen by": selection.get("chosen_by", selection.get("reason")),
                "AICc would choose": selection.get("aicc_choice"),
                "BIC would choose": selection.get("bic_choice"),
                "error of the rule (%)": _short(error.get("extrapolation")),
                "error of AICc (%)": _short(error.get("aicc")),
                "regime": judgement.get("regime", {}).get("statement", judgement.get("regime", {}).get("reason")),
                "analysis choices": judgement.get("sensitivity", {}).get("statement"),
            }
            rows.append(row)
        for frontier in of_arm["frontiers"]:
            row = {
                "arm": of_arm["arm"],
                "family": frontier["family"],
                "along": "compute",
                "at": "frontier",
                "form": frontier.get("form"),
                "chosen by": "given",
                "analysis choices": frontier.get("sensitivity", {}).get("statement", frontier.get("reason")),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def comparison_table(fits: list[dict]) -> pd.DataFrame:
    """Return one row per pair of families: exponents, and the ratio of data for the lowest loss that both reach."""
    rows = []
    for of_arm in fits:
        for entry in of_arm["comparisons"]:
            first, second = entry["sides"]
            lowest = (entry["factors"]["at"] or [{"loss": None, "factor": None, "interval": [None, None]}])[-1]
            row = {
                "arm": of_arm["arm"],
                "first": first["family"],
                "second": second["family"],
                "matched": MATCHED[entry["matched"]],
                "of": f"{entry['at']['family']} {entry['at']['size']}",
                "law": entry["form"],
                "exponent of first": _within(first["parameters"]["exponent"], first["intervals"]["exponent"]),
                "exponent of second": _within(second["parameters"]["exponent"], second["intervals"]["exponent"]),
                "at loss": lowest["loss"],
                "data of second / first": _within(lowest["factor"], lowest["interval"]),
                "statement": entry["statement"],
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["arm", "first", "second", "matched", "statement"])


def next_cells_table(fits: list[dict]) -> pd.DataFrame:
    """Return what to train next, one row per family and goal, with the expected gain over the alternatives."""
    rows = []
    for of_arm in fits:
        for planned in of_arm["next"]:
            cells = ", ".join(
                f"{cell['repeats']} × (N = {cell['N']:,.0f}, D = {cell['D']:,.0f})" for cell in planned.get("cells", [])
            )
            row = {
                "arm": of_arm["arm"],
                "family": planned["family"],
                "goal": planned.get("goal", ""),
                "FLOPs": _short(planned.get("spent")),
                "runs": cells,
                "statement": planned.get("statement", planned.get("reason")),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _place(at: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in at.items())


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _exponents(law: dict) -> str:
    shown = []
    for name in [name for name in ("exponent", "alpha", "beta") if name in law["parameters"]]:
        low, high = law["intervals"][name]
        prefix = "" if name == "exponent" else f"{name} "
        shown.append(f"{prefix}{law['parameters'][name]:.3f} ({low:.3f} to {high:.3f})")
    return "; ".join(shown)


def _within(value: float | None, interval: list) -> str:
    low, high = ("no limit" if end is None else f"{end:.3g}" for end in interval)
    return "beyond reach" if value is None else f"{value:.3g} ({low} to {high})"
