"""What the documents tell a reader to type exists."""

import re

import yaml

from chemscale.data.sources import check_entry

TRAINED_MODELS = "docs/howto/trained-models.md"
DOCUMENTS = (
    "README.md",
    TRAINED_MODELS,
    "config/README.md",
    "docs/explanation/decisions.md",
    "docs/explanation/benchmarks.md",
    "docs/explanation/potentials.md",
    "docs/explanation/reliability.md",
    "docs/explanation/scaling.md",
    "profiles/slurm/README.md",
)


CLAIMS = (
    "docs/explanation/scaling.md",
    "docs/explanation/potentials.md",
    "docs/explanation/reliability.md",
    "profiles/slurm/README.md",
)


def text(checkout, *names: str) -> str:
    return "\n".join((checkout / name).read_text() for name in names)


def test_every_make_target_named_is_in_the_makefile(checkout):
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text(checkout, *DOCUMENTS), re.MULTILINE))
    makefile = (checkout / "Makefile").read_text()
    assert {"study", "test"} <= named
    assert not {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)}


def test_every_file_named_exists(checkout):
    named = set(
        re.findall(r"(?:config|profiles|docs|resources|tests|workflow|envs)/[\w./-]+\.\w+", text(checkout, *DOCUMENTS))
    )
    linked = set(re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", (checkout / "README.md").read_text()))
    assert len(named) > 5
    made = {"profiles/slurm/site.yaml"}  # by the reader
    assert not {name for name in (named - made) | linked if not (checkout / name).exists()}


def test_every_command_named_is_one(checkout):
    from typer.main import get_command

    from chemscale.cli import app

    commands = get_command(app).commands
    guides = text(checkout, "README.md", TRAINED_MODELS, "docs/howto/resume.md", "docs/howto/gpus.md")
    named = set(re.findall(r"(?:^|`)chemscale ([a-z]+) \S*[./…]", guides, re.MULTILINE))
    assert "train" in named and named <= set(commands)


def test_the_ase_example_runs(checkout, trained_potential, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", text(checkout, TRAINED_MODELS), re.DOTALL)
    (record,) = re.findall(r'PotentialCalculator\("([^"]+)"\)', code)
    (tmp_path / record).parent.mkdir(parents=True)
    (tmp_path / record).symlink_to(trained_potential[1])
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    printed = dict(re.findall(r"([a-z ]+|after 100 fs): (-\d+\.\d+) eV", capsys.readouterr().out))
    relaxed, before, after = (float(printed[key]) for key in ("relaxed", "before", "after 100 fs"))
    assert before > relaxed and abs(after - before) < 0.02


def test_datasets_in_the_documents_are_valid(checkout):
    examples = re.findall(r"```yaml\n(.*?)```", text(checkout, "config/README.md", "README.md"), re.DOTALL)
    entries = [entry for example in examples for entry in yaml.safe_load(example).get("datasets", {}).values()]
    assert len(entries) >= 3
    assert [check_entry(entry)[1] for entry in entries] == [[]] * len(entries)


def test_every_claim_has_its_test(checkout):
    claimed = set(re.findall(r"`(test_\w+)`", text(checkout, *CLAIMS)))
    tests = "".join(path.read_text() for path in (checkout / "tests").rglob("*.py"))
    written = set(re.findall(r"def (test_\w+)", tests))
    assert len(claimed) > 30 and claimed <= written


def test_every_form_is_explained(checkout):
    from chemscale.scaling.forms.laws import FORMS

    explained = text(checkout, "docs/explanation/scaling.md", "profiles/slurm/README.md")
    assert not {name for name in FORMS if f"`{name}`" not in explained}
