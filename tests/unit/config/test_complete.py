"""A configuration is complete, or one error names everything that is wrong with it."""

from dataclasses import replace

import pytest
import yaml

from chemscale import study
from chemscale.config.complete import complete
from chemscale.data.sources import registry
from chemscale.errors import ChemscaleError

MOLECULES = {"arm": "language", "seed": 0, "max_failure_share": 0.05, "max_tokens": 64, "validation": 300, "test": 300}
GEOMETRIES = {"arm": "potential", "source": "thermal", "method": "GFN2-xTB", "seed": 0, "max_failure_share": 0.0}
GEOMETRIES |= {"smiles": ["CCO", "CO"], "conformers": 1, "geometries_per_molecule": 300, "temperature": [300, 600]}
SPLITS = {"validation": 1, "test": 1, "unseen_molecules": 0}
REGISTRY = {
    "mols": MOLECULES | {"source": "rdkit", "files": ["nci"], "molecules": 2000},
    "geoms": GEOMETRIES | SPLITS | {"training_structures": 500},
}
OWN = MOLECULES | {"source": "file", "path": "mine.smi", "format": "lines"}
LABELLED = {
    "arm": "potential",
    "source": "file",
    "path": "mine.h5",
    "method": "wB97X",
    "seed": 0,
    "max_failure_share": 0.0,
}
LABELS = {"format": "ani1x", "energy": "E", "forces": "F", "energy_unit": "eV", "forces_unit": "eV/angstrom"}


@pytest.fixture
def config() -> dict:
    sweep = {"learning_rates": [0.001, 0.003, 0.01], "data": 100, "steps": 10}
    return {
        "study": "mine",
        "language": {
            "dataset": "mols",
            "families": {"chemgpt-slim": {"widths": [8, 16]}},
            "data": [10, 100, 1000],
            "tune": {"widths": [8], **sweep},
        },
        "potential": {
            "dataset": "geoms",
            "families": {"schnet": {"widths": [8], "depths": [2, 3], "learning_rate": 0.01}},
            "data": [10, 100],
        },
    }


def problems(config: dict) -> list[str]:
    """The lines of the error, one per problem."""
    with pytest.raises(ChemscaleError) as error:
        complete(config, REGISTRY)
    lines = str(error.value).splitlines()
    assert lines[-1] == "docs/reference/configuration.md explains every key."
    if len(lines) == 2:
        return [lines[0].removeprefix("configuration: ")]
    assert lines[0] == f"configuration: {len(lines) - 2} problems"
    return [line.removeprefix("  - ") for line in lines[1:-1]]


def test_defaults_are_filled_in_at_every_level(config):
    full = complete(config, REGISTRY)
    assert full["results_source"] == "trained"
    assert full["language"]["families"]["chemgpt-slim"]["learning_rate"] == "tuned"
    assert full["potential"]["training"]["loss"] == {"energy": 0.05, "force": 0.95}
    assert full["potential"]["training"]["steps"]["minimum"] == 400
    assert "training" not in config["language"], "the caller's configuration stays as it was"


def test_keys_without_a_default_are_absent_unless_they_are_named(config):
    training = complete(config, REGISTRY)["potential"]["training"]
    assert not {"ema", "accumulate", "precision"} & set(training)
    config["potential"]["training"] = {"ema": 0.0, "accumulate": 1}
    assert complete(config, REGISTRY)["potential"]["training"] == training | {"ema": 0.0, "accumulate": 1}
    assert {"precision", "accumulate"} <= set(complete(config, REGISTRY)["language"]["training"])


def test_own_datasets_are_returned_as_they_were_written(config):
    entry = {name: value for name, value in OWN.items() if name not in ("path", "source")}
    config["datasets"] = {"far": entry | {"source": "download", "url": "https://a.b/c.smi", "bytes": None}}
    assert complete(config, REGISTRY)["datasets"] == config["datasets"]


def test_all_problems_of_a_study_and_its_datasets_are_named_at_once(config):
    config["langauge"] = {}
    config["language"]["data"] = "many"
    config["potential"]["training"] = {"cutof": 5.0, "clip": -1}
    config["potential"]["families"]["painnn"] = {"widths": [8]}
    config["datasets"] = {"own": LABELLED}
    missing = ("unseen_molecules", "validation", "test", "format", "energy", "forces")
    lines = problems(config)
    assert lines[:4] == [
        "language.data = 'many': expected a list (sizes of the training subsets, rising; each contains the smaller "
        "ones)",
        "potential.training.clip = -1: must be greater than 0 (largest norm of the gradient)",
        "potential.training.cutof: unknown key; did you mean cutoff?",
        "langauge: unknown key; did you mean language?",
    ]
    assert {line.split(";")[0] for line in lines[4:-1]} == {f"datasets.own.{key}: missing" for key in missing}
    assert lines[-1] == "potential.families.painnn: unknown family; did you mean painn?"
    config["datasets"] = {"own": LABELLED | LABELS}
    assert {line.split(";")[0] for line in problems(config)[4:-1]} == {f"datasets.own.{key}: missing" for key in SPLITS}


def test_problems_of_a_used_entry_of_the_registry_name_its_file(config):
    broken = {name: entry | {"max_failure_share": 2} for name, entry in REGISTRY.items()}
    del config["potential"]
    with pytest.raises(
        ChemscaleError, match=r"configuration: resources/datasets.yaml: mols.max_failure_share = 2: must be"
    ):
        complete(config, broken)


@pytest.mark.parametrize(
    ("arm", "change", "line"),
    [
        (
            "potential",
            {"patience": 0},
            "patience = 0: must be at least 1 (evaluations without improvement before a run",
        ),
        (
            "potential",
            {"clip": "1e-3"},
            "clip = '1e-3': expected a number; YAML reads this as text: write it with a dec",
        ),
        ("potential", {"clip": True}, "clip = True: expected a number (largest norm"),
        ("potential", {"evaluations": 5.0}, "evaluations = 5.0: expected a whole number (eval"),
        ("potential", {"warmup": 2}, "warmup = 2: must be at most 1 (share of the steps"),
        ("potential", {"ema": 1}, "ema = 1: must be less than 1 (decay"),
        ("potential", {"clip": None}, "clip = null: has no value; give one or leave the key out"),
        ("potential", {"clip": float("inf")}, "clip = inf: expected a finite number (largest"),
        ("potential", {"schedule": "cosin"}, "schedule = 'cosin': expected one of cosine, constant, cooldown, plateau"),
        ("potential", {"loss": 3}, "loss = 3: expected a mapping of keys to values (weights of"),
        ("potential", {"loss": {"forces": 1}}, "loss.forces: unknown key; did you mean force?"),
        ("potential", {"batch_tokens": 300}, "batch_tokens: unknown key; did you mean batch_atoms?"),
        ("potential", {"steps": {"minimum": 9, "maximum": 5}}, "steps.minimum = 9: is above maximum, 5; lower it or"),
        ("language", {"precision": "float16"}, "precision = 'float16': expected one of probe, float32, bfloat16"),
        (
            "language",
            {"batch_tokens": 8},
            "batch_tokens = 8: must be at least 16 (tokens in a batch, padding included)",
        ),
        ("language", {"zzz": 8}, "zzz: unknown key; use one of steps, evaluations, patience"),
    ],
)
def test_what_is_wrong_with_a_value_of_training(config, arm, change, line):
    config[arm]["training"] = change
    (found,) = problems(config)
    assert found.startswith(f"{arm}.training.{line}")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"study": "Mine"}, "study = 'Mine': use lower-case letters, digits and hyphens; do not begin with a hyphen"),
        ({"study": "abc\n"}, "study = 'abc\\n': use lower-case letters"),
        (
            {"study": "data"},
            "study = 'data': results/data/ holds other files, which it would overwrite; choose another",
        ),
        ({"study": "reference"}, "study = 'reference': results/reference/ holds other files"),
        ({"scaling": {"draws": 10}}, "scaling.draws = 10: must be at least 100 (bootstrap draws per interval)"),
        ({"language": None}, "language = null: has no value; give one or leave the key out"),
    ],
)
def test_what_is_wrong_with_a_value_of_the_study(config, change, line):
    (found,) = problems(config | change)
    assert found.startswith(line)


def test_a_study_has_a_name_and_an_arm():
    assert problems({}) == ["study: missing; add it (name of the study; its results go to results/<study>/)"]
    assert problems({"study": "mine"}) == ["neither language nor potential is given; a study needs at least one arm"]


@pytest.mark.parametrize(
    ("sizes", "right"), [([100, 10, 1000], "[10, 100, 1000]"), ([10, 10, 100], "[10, 100]")], ids=["unsorted", "twice"]
)
def test_data_sizes_must_rise(config, sizes, right):
    config["language"]["data"] = sizes
    assert problems(config) == [f"language.data = {sizes}: must rise strictly; write {right}"]


def test_items_of_lists_are_named_by_their_place(config):
    config["language"]["data"] = [10, "x"]
    (found,) = problems(config)
    assert found.startswith("language.data[1] = 'x': expected a whole number")


def test_a_sweep_has_distinct_widths_and_three_rates_or_more(config):
    config["language"]["tune"] |= {"widths": [8, 8], "learning_rates": [0.1, 0.2]}
    assert problems(config) == [
        "language.tune.widths = [8, 8]: names values twice; write [8]",
        "language.tune.learning_rates = [0.1, 0.2]: needs at least 3 entries (learning rates of the trials, rising; of "
        "three, none stops early; where the best lies at an end, up to three more are tried)",
    ]


def test_a_sweep_of_batches_has_that_of_the_study(config):
    config["language"]["tune"] |= {"batch_tokens": [300, 600]}
    config["potential"]["tune"] = config["language"]["tune"]
    assert problems(config) == [
        "language.tune.batch_tokens = [300, 600]: lacks 1200, the batch_tokens of training; write [300, 600, 1200]",
        "potential.tune.batch_tokens = [300, 600]: batches are counted in atoms in this arm; leave it out",
    ]


def test_learning_rates_are_positive_numbers_or_tuned(config):
    for value in ("0.01x", 0, True, None):
        config["language"]["families"]["chemgpt-slim"]["learning_rate"] = value
        (found,) = problems(config)
        assert found.startswith("language.families.chemgpt-slim.learning_rate = ")
        assert value is None or found.endswith(': expected a positive number or "tuned"')


def test_sizes_larger_than_the_data(config):
    config["language"]["data"] = [10, 1401]
    config["potential"]["data"] = [10, 501]
    assert problems(config) == [
        "language.data = 1,401: mols has 1,400 molecules for training; lower it",
        "potential.data = 501: geoms has 500 structures for training; lower it",
    ]


def test_unknown_names(config):
    config["language"]["dataset"] = "geoms"
    config["potential"]["dataset"] = "goems"
    config["potential"]["families"] = {"painnn": {"widths": [8]}, "chemgpt": {"widths": [16]}, "x": {"widths": [16]}}
    lines = problems(config)
    assert lines[:2] == [
        "language.dataset = 'geoms': belongs to the arm potential; use mols",
        "potential.families.painnn: unknown family; did you mean painn?",
    ]
    assert lines[2].startswith("potential.families.chemgpt: unknown family; did you mean ")
    assert lines[3].startswith("potential.families.x: unknown family; use one of mpnn, schnet, painn")
    assert lines[4] == "potential.dataset = 'goems': unknown dataset; did you mean geoms?"


def test_width_the_heads_do_not_divide(config):
    config["language"]["families"] = {"chemgpt": {"widths": [24], "learning_rate": 0.001}}
    (found,) = problems(config)
    assert found.startswith("language.families.chemgpt.widths = 24: chemgpt has 16 heads")


def test_a_sweep_has_widths_that_the_family_has(config):
    config["language"]["tune"]["widths"] = [8, 17]
    (found,) = problems(config)
    assert found.startswith("language.tune.widths = 17: chemgpt-slim needs a power of two of at least 8")


def test_booleans_are_no_words(config):
    (found,) = problems(config | {"datasets": {"mine": LABELLED | LABELS | SPLITS | {"ignore_cell": "true"}}})
    assert found.startswith("datasets.mine.ignore_cell = 'true': expected true or false (whether to read")


def test_tuned_needs_a_sweep(config):
    del config["language"]["tune"]
    assert problems(config) == [
        "language.families.chemgpt-slim.learning_rate = 'tuned': language.tune is missing; add it, or give a number"
    ]


def test_own_datasets_join_the_registry(config):
    config["datasets"] = {"own": OWN | {"molecules": 700}}
    config["language"]["dataset"] = "own"
    config["language"]["data"] = [10, 101]
    assert problems(config) == ["language.data = 101: own has 100 molecules for training; lower it"]


def test_datasets_to_be_evaluated_on_are_known_comparable_and_not_trained_on(config):
    methods = {"geoms": "GFN2-xTB", "more": "GFN2-xTB", "other": "wB97X"}
    config["datasets"] = {name: GEOMETRIES | SPLITS | {"method": method} for name, method in methods.items()}
    config["potential"]["evaluate_on"] = ["geoms", "mols", "more", "other", "absent"]
    where = "potential.evaluate_on = "
    assert problems(config) == [
        f"{where}'geoms': is trained on, and its test errors are reported anyway; leave it out",
        f"{where}'mols': no dataset of the potential arm; use one of geoms, more, other",
        f"{where}'other': has labels of wB97X, geoms of GFN2-xTB; choose one of the same method",
        f"{where}'absent': no dataset of the potential arm; use one of geoms, more, other",
    ]
    config["potential"]["evaluate_on"] = ["more", "more"]
    assert problems(config) == [f"{where}['more', 'more']: names values twice; write ['more']"]


def test_what_is_evaluated_on_does_not_decide_a_training(config):
    before = study.cells(complete(config, REGISTRY))
    config["datasets"] = {"more": GEOMETRIES | {"training_structures": 0}}
    config["potential"]["evaluate_on"] = ["more"]
    assert study.cells(complete(config, REGISTRY)) == before


def test_a_dataset_to_be_evaluated_on_has_test_structures_only(config):
    config["datasets"] = {"all-test": GEOMETRIES | {"training_structures": 0, "test": 100}, "no-test": GEOMETRIES}
    assert [line.split(";")[0] for line in problems(config)] == [
        "datasets.all-test.test = 100: has no effect with training_structures: 0",
        "datasets.no-test.unseen_molecules: missing",
        "datasets.no-test.validation: missing",
        "datasets.no-test.test: missing",
    ]
    config["datasets"] = {"all-test": GEOMETRIES | {"training_structures": 0}}
    config["potential"]["dataset"] = "all-test"
    assert problems(config) == ["potential.data = 100: all-test has 0 structures for training; lower it"]


def test_cells_are_the_grid_with_more_seeds_on_the_small_half(config):
    cells = study.cells(complete(config, REGISTRY))
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    # language: 2 widths × (2 + 1 + 1 runs); potential: 2 depths × (2 + 1 runs)
    assert len([n for n in names if n.startswith("language")]) == 8
    assert len([n for n in names if n.startswith("potential")]) == 6
    assert "language/chemgpt-slim/w8/10/seed1" in names and "language/chemgpt-slim/w8/100/seed1" not in names
    assert "potential/schnet/d3-w8/10/seed1" in names


def test_a_repetition_trains_every_cell_anew_in_a_folder_of_its_own(config):
    once = [cell.settings for cell in study.cells(complete(config, REGISTRY))]
    assert all("repetition" not in settings.to_json() for settings in once)  # no finished cell is trained again
    again = complete(config | {"repetition": 2}, REGISTRY)
    assert again["study"] == "mine-repetition2"
    repeated = [cell.settings for cell in study.cells(again)]
    assert {settings.repetition for settings in repeated} == {2}
    assert {settings.random_seed for settings in repeated} == {2000, 2001} and {s.random_seed for s in once} == {0, 1}
    trial = study.tuning_settings(again, "language", "chemgpt-slim").trial(16, 0.01, None)
    assert trial.random_seed == 2000 and trial.to_json()["repetition"] == 2


def test_one_value_changes_exactly_its_cells(config):
    before = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    config["language"]["data"] = [10, 100, 1100]
    after = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {f"language/chemgpt-slim/w{w}/1100/seed0" for w in (8, 16)}


@pytest.mark.parametrize("arm", ["language", "potential"])
def test_large_cells_train_on_as_many_gpus_as_their_arm_says_and_nothing_trains_again(config, arm):
    before = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    config[arm]["gpus"] = 4
    cells = study.cells(complete(config, REGISTRY))
    assert {(cell.arm, cell.gpus) for cell in cells} == {
        (name, 4 if name == arm else 1) for name in ("language", "potential")
    }
    assert {cell.name: cell.settings for cell in cells} == before
    large = next(cell for cell in cells if cell.arm == arm)
    large = replace(large, work=large.work._replace(flops=1e18))
    assert study.estimate(large).gpu == 4


def test_own_datasets_are_checked_like_everything_else(config):
    config["datasets"] = {"own": OWN | {"max_token": 64}, "Bad/Name": OWN}
    assert problems(config) == [
        "datasets.Bad/Name: use lower-case letters, digits and hyphens; do not begin with a hyphen",
        "datasets.own.max_token: unknown key; did you mean max_tokens?",
    ]


@pytest.mark.parametrize("name", ["abc\n", "a\nb", "../up", "/etc", "", "-rf", "a.b", "a b", "A"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(config, name):
    wrong = "use lower-case letters, digits and hyphens; do not begin with a hyphen"
    assert problems(config | {"study": name}) == [f"study = {name!r}: {wrong}"]
    with pytest.raises(ChemscaleError, match=f"(?s)datasets.*: {wrong}"):
        complete(config | {"datasets": {name: OWN}}, REGISTRY)


def test_molecules_longer_than_the_model_reads(config):
    config["datasets"] = {"own": OWN | {"max_tokens": 600}}
    config["language"]["dataset"] = "own"
    assert problems(config) == [
        "language.families.chemgpt-slim: reads 513 tokens, but own keeps molecules of up to 600; lower its max_tokens, "
        "or choose another family"
    ]


SMALL = ("moses-small", "gfn2-small")
STUDIES = ("config.yaml", *(f"studies/{name}.yaml" for name in ("smoke", "reference", "paper", "paper-rmd17", *SMALL)))


def shipped(checkout, path: str) -> dict:
    return complete(yaml.safe_load((checkout / "config" / path).read_text()), registry())


@pytest.mark.parametrize("path", STUDIES)
def test_shipped_studies_are_valid(checkout, path):
    assert study.cells(shipped(checkout, path))


def test_no_shipped_study_names_a_file_outside_the_repository(checkout):
    """A clone can make all the data of every study: nothing is read from a path, which is somebody's own file."""
    files = sorted(path.relative_to(checkout / "config").as_posix() for path in (checkout / "config").rglob("*.yaml"))
    assert files == sorted(STUDIES)
    for path in files:
        full = shipped(checkout, path)
        arms = [full[arm] for arm in ("language", "potential") if arm in full]
        named = {name for arm in arms for name in (arm["dataset"], *arm.get("evaluate_on", ()))}
        for name in named | set(full["datasets"]):
            entry = (registry() | full["datasets"])[name]
            assert entry["source"] != "file" and "path" not in entry, (path, name)
        words = [value for value in leaves(full) if isinstance(value, str)]
        assert not [word for word in words if word.startswith(("/", "~", "..")) or "file:" in word], path


def leaves(content):
    if not isinstance(content, dict | list):
        return [content]
    return [leaf for value in (content.values() if isinstance(content, dict) else content) for leaf in leaves(value)]


def test_reference_is_the_default_study(checkout):
    """The cached tables are those of the default study, so both must describe the same cells."""
    grids = [[cell.name for cell in study.cells(shipped(checkout, path))] for path in (STUDIES[0], STUDIES[2])]
    assert grids[0] == grids[1]


def test_plateau_needs_evaluations_to_see_one(config):
    config["potential"]["training"] = {"schedule": "plateau", "patience": 2, "evaluations": 3}
    advice = "too small for schedule: plateau"
    assert problems(config) == [
        f"potential.training.patience = 2: {advice}; write 3 or more",
        f"potential.training.evaluations = 3: {advice}; write 4 or more",
    ]
    config["potential"]["training"] = {"schedule": "plateau"}
    assert complete(config, REGISTRY)["potential"]["training"]["patience"] == 4
