"""One page for a comparison of studies: sentences, figure and table in one HTML file, which opens without a network."""

import io

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from chemscale import __version__


def comparison_page(content: dict, figure: Figure, table: pd.DataFrame) -> str:
    """Return the page of `compare_studies`, its figure and its table."""
    names = [study["name"] for study in content["studies"]]
    unknown = sorted({name for of_arm in content["arms"] for name in of_arm["settings_unknown"]})
    environment = Environment(
        loader=PackageLoader("chemscale.figures"), undefined=StrictUndefined, trim_blocks=True, autoescape=True
    )
    return environment.get_template("comparison.html.j2").render(
        title=" compared with ".join([names[0], " and ".join(names[1:])]),
        content=content,
        unknown=unknown,
        figure=Markup(_svg(figure)),
        sections=[(section, rows.to_dict("records")) for section, rows in table.groupby("section", sort=False)],
        names=names,
        version=__version__,
    )


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG element, without the head of a file of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
