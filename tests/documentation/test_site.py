"""The documentation site: built strictly, and opened in a browser without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def site(checkout, tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs")
    directory = tmp_path_factory.mktemp("site")
    paths = os.pathsep.join([str(checkout / "workflow"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def pages(site) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_the_reference_has_every_command_format_and_public_name(site):
    from typer.main import get_command

    import chemscale.scaling
    from chemscale.cli import app
    from chemscale.geometries.formats import FORMATS

    commands, formats, names = (
        (site / "reference" / f"{name}.html").read_text() for name in ("command-line", "file-formats", "python-api")
    )
    assert len(get_command(app).commands) > 15
    assert all(f"<code>chemscale {name}</code>" in commands for name in get_command(app).commands)
    assert all(f"<code>{name}</code>" in formats for name in FORMATS)
    assert all(re.search(rf'id="chemscale\.[\w.]*\.{name}"', names) for name in chemscale.scaling.__all__)


@pytest.mark.browser
def test_pages_open_without_console_errors_or_network(browser, pages, site):
    assert len(pages) > 10
    page = browser.new_page()
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for path in pages:
        page.goto(path.as_uri())
        assert page.locator("article h1").first.is_visible(), path
        widths = page.locator("article img").evaluate_all("found => found.map(image => image.naturalWidth)")
        assert all(widths), path
    assert not told
    assert not [url for url in asked if not url.startswith(("file://", "data:", "blob:"))]
    assert any(url.startswith(site.as_uri()) for url in asked)


@pytest.mark.browser
def test_links_lead_somewhere(browser, pages):
    page = browser.new_page()
    anchors, links = {}, set()
    for path in pages:
        page.goto(path.as_uri())
        anchors[path.as_uri()] = set(page.evaluate("[...document.querySelectorAll('[id]')].map(part => part.id)"))
        links |= {(path.name, url) for url in page.evaluate("[...document.links].map(link => link.href)")}
    inner = [(name, *url.partition("#")[::2]) for name, url in links if url.startswith("file://")]
    assert len(inner) > 100
    missing = []
    for name, target, anchor in inner:
        known = anchors.get(target)
        exists = Path(target.removeprefix("file://")).is_file()
        if not exists or (anchor and known is not None and anchor not in known):
            missing.append((name, target, anchor))
    assert not missing


@pytest.mark.browser
@pytest.mark.parametrize(("words", "page_found"), [("preempted", "first-night"), ("skip_unit_checks", "configuration")])
def test_search_answers(browser, site, words, page_found):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    answers = page.locator(".md-search-result__link")
    for _ in range(20):  # the script that listens starts after the page has loaded, and says nothing
        page.locator(".md-search__input").fill("")
        page.locator(".md-search__input").click()
        page.keyboard.type(words, delay=30)
        page.wait_for_timeout(1_000)
        if answers.count():
            break
    answers.first.wait_for()
    found = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    assert any(page_found in url for url in found)
