"""Studies side by side: the figure, and the page that `chemscale compare` writes, with its numbers."""

import json
from html.parser import HTMLParser

import pandas as pd
import pytest
from helpers.drawn import lines, points, shown
from helpers.finished import language_runs, write_study
from matplotlib.text import Text

from chemscale.analysis.compare_studies import compare_studies
from chemscale.analysis.studies import open_studies
from chemscale.cli import main
from chemscale.figures.studies import studies_compared
from chemscale.figures.style import STUDY_COLOURS


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "results"
    write_study(folder / "slow", language_runs(0.2, seed=1, sizes=("w64", "w16")), evaluations=5)
    write_study(folder / "fast", language_runs(0.3, seed=2, sizes=("w64", "w16")), evaluations=8)
    write_study(folder / "small", language_runs(0.2, seed=3, sizes=("w32",)))
    return folder


def test_a_panel_per_size_has_the_runs_and_laws_of_each_study_and_their_names(results):
    studies = open_studies(["slow", "fast"], results)
    content = compare_studies(studies)
    small, large, exponents = shown(studies_compared(studies, content))
    assert [panel.get_title() for panel in (small, large)] == ["ChemGPT-slim w16", "ChemGPT-slim w64"]
    for panel in (small, large):
        assert [
            (text.get_text(), text.get_color()) for text in sorted(panel.texts, key=lambda text: text.xyann[1])
        ] == [
            ("fast", STUDY_COLOURS[1]),
            ("slow", STUDY_COLOURS[0]),
        ]
        assert [colour for colour, _ in lines(panel, "-")] == list(STUDY_COLOURS[:2])
        assert len(points(panel)) == 2 * (10 + 5)  # each run, and the mean of two
    assert [text.get_text() for text in exponents.get_yticklabels()] == ["w16", "w64"]
    assert {text.get_fontweight() for text in exponents.get_yticklabels()} == {"bold"}
    drawn = [line.get_xdata()[0] for line in exponents.lines if len(line.get_xdata()) == 1]
    laws = [law for law in content["arms"][0]["laws"] if law["along"] == "data"]
    assert drawn == [
        value for law in sorted(laws, key=lambda law: law["at"]) for value in law["exponents"][0]["values"]
    ]


def test_names_at_the_ends_of_lines_that_meet_do_not_overlap(results, tmp_path):
    twin = write_study(tmp_path / "twin", language_runs(0.2, seed=1, sizes=("w64", "w16")))
    studies = open_studies(["slow", str(twin)], results)
    panel, *_ = shown(studies_compared(studies, compare_studies(studies)))
    first, second = (Text.get_window_extent(text) for text in panel.texts)  # without their lines
    assert not first.overlaps(second)


def test_a_family_without_a_shared_size_shows_all_of_them(results):
    studies = open_studies(["slow", "small"], results)
    content = compare_studies(studies)
    (everything,) = shown(studies_compared(studies, content))  # no exponent of data in both
    assert everything.get_title() == "ChemGPT-slim: all sizes" and len(points(everything)) == 3 * (10 + 5)


class Page(HTMLParser):
    """The rows of the table of a page, and every address that it names."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses, self.tags, self.cell = [], [], set(), None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "tr":
            self.rows.append([])
        self.cell = "" if tag in ("td", "th") else self.cell

    def handle_data(self, data):
        self.cell = None if self.cell is None else self.cell + data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None


def test_the_page_has_the_numbers_of_the_fits_and_needs_no_network(results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(results.parent)
    out = tmp_path / "out"
    assert main(["compare", "slow", "fast", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "language: 0 of 3 exponents agree at 90%" in said
    assert said.endswith(f"page: {out / 'comparison.html'}\n")
    text = (out / "comparison.html").read_text()
    page = Page(text)
    rows = {tuple(row[:2]): row for row in reversed(page.rows) if len(row) == 7}  # exponents stand before factors
    laws = {name: json.loads((results / name / "fits" / "language.json").read_text()) for name in ("slow", "fast")}
    row = rows["language", "chemgpt-slim w16 along data"]
    for shown_value, of_study in zip(row[3:5], laws.values(), strict=True):
        (law,) = [
            law for law in of_study["curves"] if law["at"] == {"size": "w16"} and law["form"] == row[2] == "power"
        ]
        low, high = law["intervals"]["exponent"]
        assert shown_value == f"{law['parameters']['exponent']:.3g} ({low:.3g} to {high:.3g})"
    assert row[6] == "differ" and row[5].startswith("difference 0.")
    assert rows["language", "training.evaluations"][3:] == ["5", "8", "", "differs"]
    assert rows["language", "chemgpt-slim, over slow"][5].startswith("20 cells, ")
    assert pd.read_csv(out / "comparison.csv").columns.tolist()[4:6] == ["slow", "fast"]
    assert "svg" in page.tags and not page.tags & {"script", "link", "img", "iframe"}
    assert not [address for address in page.addresses if not address.startswith("#")]
    assert "<li>language: settings that differ: training.evaluations.</li>" in text


def test_the_page_goes_to_a_folder_of_its_own_without_out(results, monkeypatch, capsys):
    monkeypatch.chdir(results.parent)
    assert main(["compare", "slow", "results/fast"]) == 0
    assert (results / "comparisons" / "slow-fast" / "comparison.html").exists()
    assert "page: results/comparisons/slow-fast/comparison.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["slow"], "slow: a comparison needs two studies; name two"),
        (["slow", "fsat"], "fsat: no study of this name; did you mean fast?"),
        ([str(number) for number in range(8)], "8 studies: at most 7 can be told apart; name fewer"),
    ],
)
def test_wrong_studies_are_refused_in_one_line(names, message, results, monkeypatch, capsys):
    monkeypatch.chdir(results.parent)
    assert main(["compare", *names]) == 2
    assert capsys.readouterr().err == f"chemscale compare: {message}\n"
