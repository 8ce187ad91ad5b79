"""Ticks, palettes and saved formats."""

import matplotlib.pyplot as plt
import pytest
from helpers.drawn import shown

from chemscale.figures.style import house_style, plain_ticks, save, shades, write_placeholder


@pytest.mark.parametrize(
    ("limits", "narrow", "labels"),
    [
        ((1, 3), False, ["1", "1.5", "2", "3"]),
        ((10, 1000), False, ["10", "20", "50", "100", "200", "500", "1,000"]),
        ((10, 1000), True, ["10", "100", "1,000"]),
        ((1, 10_000), False, ["1", "10", "100", "1,000", "10,000"]),
    ],
)
def test_ticks_are_plain_numbers_that_depend_on_the_decades(limits, narrow, labels):
    figure, axes = plt.subplots()
    axes.set(xscale="log", xlim=limits)
    plain_ticks(axes, "x", narrow)
    shown(figure)
    inside = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for tick, label in inside if limits[0] <= tick <= limits[1]] == labels


def test_shades_give_every_value_a_colour_of_its_own():
    found = shades("viridis_r", [8, 16, 32])
    assert list(found) == [8, 16, 32] and len(set(found.values())) == 3


def test_a_figure_is_saved_twice_and_the_same_again(tmp_path):
    house_style()
    for name in ("first", "second"):
        figure, axes = plt.subplots()
        write_placeholder(axes, "nothing")
        save(figure, tmp_path / "new", name)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "first.png",
        "first.svg",
        "second.png",
        "second.svg",
    ]
    first, second = ((tmp_path / "new" / f"{name}.svg").read_bytes() for name in ("first", "second"))
    assert first == second and b">nothing<" in first, "text stays text"
    plt.rcdefaults()
