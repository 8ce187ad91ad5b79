"""The first page of the report, for Snakemake: what was found, a figure, exponents, faults, cost, versions."""

import base64
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from chemscale import __version__
from chemscale.analysis.abstract import cost, exponents, found, went_wrong
from chemscale.figures.html_table import html_table

VERSIONS = ("torch", "numpy", "scipy", "snakemake")
LINE = 5000  # characters
# Snakemake's report centres its first page, and the top of one higher than the window could not be scrolled to
FROM_TOP = "<style>.items-center.h-screen.overflow-auto { align-items: safe center; }</style>"
CITED = (
    "Frey et al., *Neural scaling of deep chemical models*, Nature Machine Intelligence 5, 1297 (2023), "
    "`doi:10.1038/s42256-023-00740-3 <https://doi.org/10.1038/s42256-023-00740-3>`__"
)


def first_page(study: str, runs: pd.DataFrame, fits: list[dict], sweeps: pd.DataFrame, figures: list[Path]) -> str:
    """Return the first page of a study's report; `figures` are PNG files, which it holds itself."""
    title = f"What the study {study} found"
    parts = [
        title,
        "=" * len(title),
        "",
        *_raw([FROM_TOP]),
        *_bullets(found(runs, fits)),
        "Intervals are those of the fits, at "
        f"{fits[0]['confidence']:.0%}. A parameter that the runs do not determine is called not identified.",
        "",
        *(line for figure in figures for line in _image(figure)),
        *_heading("Exponents"),
        *_table(exponents(fits)),
        *_heading("What went wrong"),
        *_bullets(went_wrong(runs, fits, sweeps)),
        *_heading("Cost and versions"),
        *_bullets(
            [*cost(runs), f"chemscale {__version__}; {', '.join(f'{name} {version(name)}' for name in VERSIONS)}."]
        ),
        *_heading("How to cite"),
        f"Please cite {CITED}, and chemscale by its file CITATION.cff.",
        "",
    ]
    return "\n".join(parts)


def _heading(text: str) -> list[str]:
    return ["", text, "-" * len(text), ""]


def _bullets(sentences: list[str]) -> list[str]:
    return [*(f"* {sentence}" for sentence in sentences), ""]


def _image(path: Path) -> list[str]:
    """Show a figure; a browser ignores the line breaks in its content, and docutils refuses longer lines."""
    content = base64.b64encode(path.read_bytes()).decode()
    lines = [content[start : start + LINE] for start in range(0, len(content), LINE)]
    html = ['<img width="600" ' + f'alt="{path.stem}" src="data:image/png;base64,', *lines, '">']
    return _raw(html)


def _table(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return ["No law could be fitted.", ""]
    return _raw(html_table(table))


def _raw(html: list[str]) -> list[str]:
    return [".. raw:: html", "", *(f"   {line}" for line in html), ""]
