"""The figure of the ladder of symmetry."""

from helpers.drawn import legend, lines, shown
from helpers.studies import comparison, fits, law

from chemscale.figures.ladder import symmetry_ladder
from chemscale.models.registry import FAMILIES


def test_a_row_per_family_and_a_panel_per_quantity():
    joint = [
        law(family, "both", {}, form="joint", preferred=True)
        | {
            "parameters": {"alpha": 0.3, "beta": beta},
            "intervals": {"alpha": [0.2, None], "beta": [beta - 0.1, beta + 0.1]},
            "unidentified": ["alpha"],
        }
        for family, beta in (("painn", 0.7), ("schnet", 0.5))
    ]
    at = [{"loss": 0.2, "x": 9, "factor": 8.0, "interval": [4, 16]}]
    compared = comparison("parameters") | {"factors": {"at": at}}
    figure = symmetry_ladder([fits("language"), fits("potential", joint=joint, comparisons=[compared])])
    data, size, _, parameters, flops = shown(figure)
    assert [text.get_text().split("\n")[0] for text in data.get_yticklabels()] == ["SchNet", "PaiNN"]
    colours = [FAMILIES[family].colour for family in ("schnet", "painn")]
    assert lines(data, "-") == [(colours[0], [0, 0]), (colours[1], [1, 1])]
    faces = [line.get_markerfacecolor() for line in size.lines if line.get_marker() == "o"]
    assert faces == ["white", "white"]
    assert [line.get_marker() for line in size.lines if line.get_marker() in "<>"] == [">", ">"]
    (ring,) = [line for line in parameters.lines if line.get_marker() == "o"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([8.0], [1])
    assert "data of SchNet" in parameters.get_xlabel() and "training FLOPs" in flops.get_xlabel()
    assert "not identified" in legend(figure)


def test_an_arm_of_one_family_has_no_ladder():
    figure = symmetry_ladder([fits("language"), fits("potential")])
    assert all(not axes.axison for axes in figure.axes)
