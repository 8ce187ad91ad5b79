"""Every command of the tutorials and guides runs, in the order of its page; long ones are planned."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.clones import make_clone

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for folder in ("tutorials", "howto") for page in (ROOT / "docs" / folder).glob("*.md"))
BLOCK = re.compile(r"^```(bash|\{ \.bash \.long \})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLANNED = 'snakemake() { command snakemake "$@" --dry-run; }\n'
RUN = "unset -f snakemake 2>/dev/null || true\n"


def script(page: str) -> str:
    """Return the commands of a page as one script that stops at the first failure."""
    blocks = [((RUN if kind == "bash" else PLANNED) + body) for kind, body in BLOCK.findall(page)]
    return "\n".join(["set -euo pipefail", *blocks])


def run(clone: Path, page: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(clone / "workflow"), "PATH": path}
    done = subprocess.run(["bash", "-c", script(page)], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_page_run(page, checkout, tmp_path):
    clone = make_clone(checkout, tmp_path)
    output = run(clone, page.read_text())
    for kind, arm in (("molecules", "language"), ("geometries", "potential")):
        if page.stem == f"own-{kind}":
            curves = json.loads((clone / f"results/own-{kind}/fits/{arm}.json").read_text())["curves"]
            assert curves and all(curve["statement"] in output for curve in curves)


def test_every_block_of_commands_is_run_or_planned():
    for page in PAGES:
        text = page.read_text()
        fences = set(re.findall(r"^```(.+)$", text, re.MULTILINE)) - {"{ .text }", "yaml", "python"}
        assert fences <= {kind for kind, _ in BLOCK.findall(text)}, page
