"""The language of code and documents follows docs/reference/style.md where a test can tell."""

import ast
import re

import pytest

ODD = ("right would be", "anew", "foretold", "dearest", "not to be told", "at the cheap end")
DOCUMENTS = (".md", ".py", ".smk", ".yaml", ".rst", ".toml")


@pytest.fixture(scope="module")
def texts(checkout) -> dict[str, str]:
    """Every text of the project that a person reads, by its name; the page that forbids words may name them."""
    folders = ("workflow", "docs", "config", "profiles", "resources", "envs")
    files = [path for folder in folders for path in (checkout / folder).rglob("*") if path.suffix in DOCUMENTS]
    files += [checkout / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "Snakefile")]
    return {str(path.relative_to(checkout)): path.read_text() for path in files if path.name != "style.md"}


@pytest.mark.parametrize("words", ODD)
def test_odd_words_are_in_no_text(texts, words):
    pattern = re.compile(rf"\b{words}\b", re.IGNORECASE)
    assert not [name for name, text in texts.items() if pattern.search(text)]


def test_no_docstring_begins_with_what(checkout):
    found = []
    for path in (checkout / "workflow" / "chemscale").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = (ast.get_docstring(node) or "").split("\n")[0]
                found += [f"{path.name}: {first}"] if first.startswith("What ") else []
    assert not found


def test_documents_do_not_speak_of_tickets_or_targets(texts):
    pattern = re.compile(r"\bissue #?\d+\b|\bthe aim was\b|\(aim\b", re.IGNORECASE)
    assert not [name for name, text in texts.items() if pattern.search(text)]
