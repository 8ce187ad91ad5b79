"""What the scaling notebook draws: what conventions do to exponents, the compute frontier, tables of laws."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chemscale.figures.style import LOSS, MARKERS, finished, plain_ticks, sizes_in_order
from chemscale.models.registry import FAMILIES

FORM_NAMES = {
    "power": "power law",
    "power_floor": "with floor",
    "joint": "L(N, D)",
    "joint_tied": "L(N, D), α = β",
    "joint_no_floor": "L(N, D), E = 0",
}


def forecasts(fits: list[dict]) -> Figure:
    """What each law, fitted without the largest cells, foretold for them, beside what they gave."""
    rows = {
        of_arm["arm"]: [
            (forecast, point)
            for forecast in of_arm["forecasts"]
            if forecast["along"] != "both" or forecast["preferred"]
            for point in forecast["points"]
        ]
        for of_arm in fits
    }
    height = 1.4 + 0.36 * max(len(of_arm) for of_arm in rows.values())
    figure, panels = plt.subplots(1, len(fits), figsize=(5.2 * len(fits), height), squeeze=False)
    for panel, (arm, of_arm) in zip(panels.flat, rows.items(), strict=True):
        labels = []
        for y, (forecast, point) in enumerate(of_arm):
            colour = "#009e73" if point["inside"] else "#d55e00"
            panel.plot([point["low"], point["high"]], [y, y], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
            panel.plot(point["predicted"], y, "|", color=colour, ms=12, mew=2)
            panel.plot(point["observed"], y, "o", color="black", ms=5)
            preferred = " (preferred)" if forecast["preferred"] else ""
            cell = f"{FAMILIES[forecast['family']].label} {point['size']}, D = {point['data']:,}"
            labels.append(f"{cell}\n{FORM_NAMES[forecast['form']]}{preferred}")
        panel.set_yticks(range(len(labels)), labels, fontsize="x-small")
        panel.set(xlabel=LOSS[arm][1], title=f"held-out {arm} cells", ylim=(-0.7, len(labels) - 0.3))
        panel.invert_yaxis()
    handles = [
        Line2D([], [], color="black", marker="o", ls="", label="observed"),
        Line2D([], [], color="#009e73", lw=5, alpha=0.5, label="forecast interval, observed inside"),
        Line2D([], [], color="#d55e00", lw=5, alpha=0.5, label="forecast interval, observed outside"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def conventions(fits: list[dict]) -> Figure:
    """Exponent of data of every size under every convention, beside its statistical interval."""
    judged = [
        (of_arm["arm"], judgement)
        for of_arm in fits
        for judgement in of_arm["judgements"]
        if judgement["along"] == "data" and judgement["sensitivity"]["rows"]
    ]
    rows = [row for _, judgement in judged for row in judgement["sensitivity"]["rows"] if row["change"]]
    kinds = list(dict.fromkeys(row["convention"].split(" counted")[0] for row in rows))
    colours = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    figure, axes = plt.subplots(figsize=(7.2, 1.2 + 0.5 * len(judged)))
    labels = []
    for y, (_, judgement) in enumerate(judged):
        found = judgement["sensitivity"]
        axes.plot(found["interval"], [y, y], color="0.8", lw=9, solid_capstyle="butt", zorder=0)
        rows = [row for row in found["rows"] if row["change"]]
        for row, shift in zip(rows, np.linspace(-0.22, 0.22, max(len(rows), 2)), strict=False):
            axes.plot(row["exponent"], y + shift, "o", color=colours[row["convention"].split(" counted")[0]], ms=4)
        axes.plot(found["exponent"], y, "|", color="black", ms=14, mew=1.6)
        labels.append(f"{FAMILIES[judgement['family']].label} {judgement['at']['size']}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="exponent of data")
    handles = [
        Line2D([], [], color="black", marker="|", ls="", ms=12, label="the study's own choice"),
        Line2D([], [], color="0.8", lw=9, label="its statistical interval"),
        *(Line2D([], [], color=colour, marker="o", ls="", label=f"other {kind}") for kind, colour in colours.items()),
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize="small")
    return figure


def compute_frontier(runs: pd.DataFrame, fits: list[dict]) -> Figure:
    """Loss of every run against its training FLOPs, and the law of those that no cheaper run beats."""
    figure, panels = plt.subplots(1, len(fits), figsize=(5.6 * len(fits), 4.6), squeeze=False)
    for panel, of_arm in zip(panels.flat, fits, strict=True):
        arm = of_arm["arm"]
        table = finished(runs, arm)
        for family, of_family in table.groupby("family"):
            sizes = sizes_in_order(of_family)
            for size, marker in zip(sizes, itertools.cycle(MARKERS), strict=False):
                rows = of_family[of_family["size"] == size]
                panel.plot(rows["flops"], rows[LOSS[arm][0]], marker, color=FAMILIES[family].colour, ms=4, alpha=0.6)
            law = next((entry for entry in of_arm["frontiers"] if entry["family"] == family), {})
            if "parameters" in law:
                on = of_family[of_family["cell"].isin(law["on"])].sort_values("flops")
                exponent, (low, high) = law["parameters"]["exponent"], law["intervals"]["exponent"]
                along = np.geomspace(on["flops"].min(), on["flops"].max(), 50)
                label = f"{FAMILIES[family].label}: $L ∝ C^{{-{exponent:.2f}}}$ [{low:.2f}, {high:.2f}]"
                law_at = law["parameters"]["coefficient"] * along**-exponent
                panel.plot(along, law_at, color=FAMILIES[family].colour, lw=1.4, label=label)
                panel.plot(on["flops"], on[LOSS[arm][0]], "o", mfc="none", mec="black", ms=7, mew=0.8)
        panel.set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel=LOSS[arm][1])
        plain_ticks(panel, x=False)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize="small")
    return figure


def exponent_table(fits: list[dict]) -> pd.DataFrame:
    """Every law of every arm: its exponents with intervals, and whether they are identified."""
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
    """Every curve: which form is chosen by extrapolation and by criteria, with what error, and its regime."""
    rows = []
    for of_arm in fits:
        for judgement in of_arm["judgements"]:
            selection, error = judgement["selection"], judgement["selection"].get("rule_error") or {}
            rows.append({
                "arm": of_arm["arm"],
                "family": judgement["family"],
                "along": judgement["along"],
                "at": _place(judgement["at"]),
                "chosen": selection.get("chosen"),
                "chosen by": selection.get("chosen_by", selection.get("reason")),
                "AICc would choose": selection.get("aicc_choice"),
                "BIC would choose": selection.get("bic_choice"),
                "error of the rule (%)": _short(error.get("extrapolation")),
                "error of AICc (%)": _short(error.get("aicc")),
                "regime": judgement.get("regime", {}).get("statement", judgement.get("regime", {}).get("reason")),
                "conventions": judgement.get("sensitivity", {}).get("statement"),
            })  # fmt: skip
        for frontier in of_arm["frontiers"]:
            moved = frontier.get("sensitivity", {}).get("statement", frontier.get("reason"))
            rows.append({
                "arm": of_arm["arm"],
                "family": frontier["family"],
                "along": "compute",
                "at": "frontier",
                "chosen": frontier.get("form"),
                "chosen by": "given",
                "conventions": moved,
            })  # fmt: skip
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


def next_cells_table(fits: list[dict]) -> pd.DataFrame:
    """What to train next, by goal, with what it should bring beside the alternatives."""
    rows = []
    for of_arm in fits:
        for planned in of_arm["next"]:
            cells = ", ".join(
                f"{cell['repeats']} × (N = {cell['N']:,.0f}, D = {cell['D']:,.0f})" for cell in planned.get("cells", [])
            )
            rows.append({
                "arm": of_arm["arm"],
                "family": planned["family"],
                "goal": planned.get("goal", ""),
                "FLOPs": _short(planned.get("spent")),
                "runs": cells,
                "statement": planned.get("statement", planned.get("reason")),
            })  # fmt: skip
    return pd.DataFrame(rows)
