"""A report of Snakemake with our first page, opened in Chromium from a file."""

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from helpers.studies import fits, law, runs, sweeps

from chemscale.figures.first_page import first_page

CHROMIUM = Path("/usr/bin/chromium")
WORKFLOW = """
report: "first-page.rst"
rule draw:
    output: report("drawn.svg", category="Language", labels={"figure": "drawn"})
    shell: "cp {workflow.basedir}/source.svg {output}"
"""


def curve(size, exponent, floor):
    made = law("painn", "data", {"size": size}, preferred=True, unidentified=[])
    made["parameters"] = {"exponent": exponent, "coefficient": 1.0} | ({"floor": floor} if floor else {})
    return made | {"intervals": {"exponent": [exponent - 0.1, exponent + 0.1], "floor": [0.01, 0.02]}}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for suffix in ("png", "svg"):
        plt.figure(figsize=(2, 2)).savefig(folder / f"source.{suffix}")
    laws = fits("potential", confidence=0.9, left_out=[])
    laws["curves"] = [curve("d2-w8", 0.9, 0.5), curve("d2-w12", 0.25, None), curve("d2-w40", 10.5, 0.07)]
    made = runs("potential").assign(parameters=900, device_seconds=1.0, device_name="cpu")
    (folder / "first-page.rst").write_text(first_page("mine", made, [laws], sweeps(), [folder / "source.png"]))
    (folder / "Snakefile").write_text(WORKFLOW)
    for arguments in (["--cores", "1"], ["--report", "report.html"]):
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(chromium, report):
    """The report, opened; what it says on the console and asks of a network fails the test."""
    opened = chromium.new_page()
    told, asked = [], []
    opened.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    opened.locator("table input, input[type=search]").first.wait_for()
    yield opened
    opened.close()
    assert not told
    assert asked[0] == report.as_uri()
    assert not [url[:100] for url in asked if not url.startswith(("file://", "data:", "blob:"))]


def column(page, name):
    place = page.locator("th button").all_text_contents().index(name)
    return page.locator(f"tbody tr:visible td:nth-child({place + 1})").all_text_contents()


@pytest.mark.browser
def test_the_first_page_shows_what_was_found_and_a_figure_of_some_size(page):
    title = page.get_by_text("What the study mine found")
    assert title.is_visible()
    assert title.bounding_box()["y"] >= 0  # within reach: nothing scrolls above the top
    assert page.get_by_text("Please cite").count() == 1
    assert page.locator("img[alt=source]").evaluate("image => image.naturalWidth") > 100


@pytest.mark.browser
def test_links_lead_to_the_web_or_to_a_place_in_the_report(page):
    links = page.evaluate("[...document.links].map(link => [link.getAttribute('href'), link.href])")
    assert any(url.startswith("https://doi.org/") for _, url in links)
    inner = [given for given, url in links if not url.startswith("https://")]
    lost = [given for given in inner if given != "#" and not page.locator(f"[id='{given.lstrip('#')}']").count()]
    assert not lost


@pytest.mark.browser
def test_a_click_on_a_heading_sorts_numbers_by_value_and_a_second_one_turns_them(page):
    assert column(page, "value") == ["0.900", "0.250", "10.500"]
    head = page.get_by_role("button", name="value", exact=True)
    head.click()
    assert column(page, "value") == ["0.250", "0.900", "10.500"]
    head.click()
    assert column(page, "value") == ["10.500", "0.900", "0.250"]
    floor = page.get_by_role("button", name="floor", exact=True)
    floor.click()
    assert column(page, "floor") == ["0.07", "0.5", ""]
    floor.click()
    assert column(page, "floor") == ["0.5", "0.07", ""]


@pytest.mark.browser
def test_the_filter_leaves_rows_with_the_words(page):
    words = page.locator("input[aria-label='filter rows']")
    words.fill("D2-W4")
    assert column(page, "at") == ["d2-w40"]
    words.fill("")
    assert len(column(page, "at")) == 3
