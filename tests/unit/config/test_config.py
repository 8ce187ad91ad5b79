"""A configuration is complete, or one error names everything that is wrong with it."""

from copy import deepcopy
from dataclasses import replace

import pytest
import yaml

from chemscale import study
from chemscale.config.complete import complete
from chemscale.errors import ChemscaleError

REGISTRY = {
    "mols": {"arm": "language", "source": "rdkit", "molecules": 2000, "validation": 300, "test": 300, "max_tokens": 64},
    "geoms": {"arm": "potential", "source": "thermal", "training_structures": 500},
}

OWN = REGISTRY["mols"] | {"source": "file", "path": "mine.smi", "format": "lines", "seed": 0, "max_failure_share": 0.05}

OWN_GEOMETRIES = REGISTRY["geoms"] | {"method": "GFN2-xTB", "smiles": ["CCO", "CO"], "conformers": 1, "seed": 0}
OWN_GEOMETRIES |= {"geometries_per_molecule": 300, "temperature": [300, 600], "max_failure_share": 0.0}


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


def problems(config: dict) -> str:
    with pytest.raises(ChemscaleError) as error:
        complete(config, REGISTRY)
    return str(error.value)


def test_defaults_are_filled_in_at_every_level(config):
    full = complete(config, REGISTRY)
    assert full["results_source"] == "trained"
    assert full["language"]["families"]["chemgpt-slim"]["learning_rate"] == "tuned"
    assert full["potential"]["training"]["loss"] == {"energy": 0.05, "force": 0.95}
    assert full["potential"]["training"]["steps"]["minimum"] == 400
    assert "training" not in config["language"], "the caller's configuration stays as it was"


def test_all_problems_are_named_at_once(config):
    config["langauge"] = {}
    config["language"]["data"] = "many"
    config["potential"]["training"] = {"cutof": 5.0, "clip": -1}
    text = problems(config)
    assert "4 problem(s)" in text
    assert "'langauge' was unexpected" in text and "known here: study" in text
    assert "language.data: 'many' is not of type 'array'" in text
    assert "potential.training: " in text and "'cutof' was unexpected" in text
    assert "potential.training.clip: -1" in text and "largest norm of the gradient" in text


@pytest.mark.parametrize(
    ("sizes", "right"), [([100, 10, 1000], "[10, 100, 1000]"), ([10, 10, 100], "[10, 100]")], ids=["unsorted", "twice"]
)
def test_data_sizes_must_rise(config, sizes, right):
    config["language"]["data"] = sizes
    assert f"language.data: {sizes} is not strictly rising; right would be {right}" in problems(config)


def test_sizes_larger_than_the_data(config):
    config["language"]["data"] = [10, 1401]
    config["potential"]["data"] = [10, 501]
    text = problems(config)
    assert "language.data: 1,401 is more than mols has for training, 1,400 molecules" in text
    assert "potential.data: 501 is more than geoms has for training, 500 structures" in text


def test_unknown_names(config):
    config["language"]["dataset"] = "geoms"
    config["potential"]["families"] = {"painnn": {"widths": [8]}}
    text = problems(config)
    assert "language.dataset: geoms: a dataset of the arm potential; right would be one of mols" in text
    assert "potential.families.painnn: no such family; right would be one of schnet, painn" in text


def test_width_the_heads_do_not_divide(config):
    config["language"]["families"] = {"chemgpt": {"widths": [24], "learning_rate": 0.001}}
    assert "width = 24: chemgpt has 16 heads; choose a multiple of 16" in problems(config)


def test_tuned_needs_a_sweep(config):
    del config["language"]["tune"]
    assert "language.families.chemgpt-slim.learning_rate: tuned, but language.tune is missing" in problems(config)


def test_own_datasets_join_the_registry(config):
    config["datasets"] = {"own": OWN | {"molecules": 700}}
    config["language"]["dataset"] = "own"
    config["language"]["data"] = [10, 101]
    assert "language.data: 101 is more than own has for training, 100 molecules" in problems(config)


def test_datasets_to_be_evaluated_on_are_known_comparable_and_not_trained_on(config):
    methods = {"geoms": "GFN2-xTB", "more": "GFN2-xTB", "other": "wB97X"}
    common = OWN_GEOMETRIES | {"validation": 1, "test": 1, "unseen_molecules": 0}
    config["datasets"] = {name: common | {"method": method} for name, method in methods.items()}
    config["potential"]["evaluate_on"] = ["geoms", "mols", "more", "other", "absent"]
    text = problems(config)
    assert "4 problem(s)" in text
    assert "potential.evaluate_on: geoms: what is trained on" in text
    for name in ("mols", "absent"):
        assert f"{name}: no dataset of the arm potential; right would be one of geoms, more, other" in text
    assert "potential.evaluate_on: other: labelled with wB97X, but geoms with GFN2-xTB" in text
    config["potential"]["evaluate_on"] = ["more", "more"]
    assert "has non-unique elements" in problems(config)


def test_what_is_evaluated_on_does_not_decide_a_training(config):
    config["datasets"] = {"geoms": OWN_GEOMETRIES | {"validation": 1, "test": 1, "unseen_molecules": 0}}
    before = study.cells(complete(config, REGISTRY))
    config["datasets"]["more"] = OWN_GEOMETRIES | {"training_structures": 0}
    config["potential"]["evaluate_on"] = ["more"]
    assert study.cells(complete(config, REGISTRY)) == before


def test_a_dataset_to_be_evaluated_on_has_test_structures_only(config):
    entry = OWN_GEOMETRIES
    config["datasets"] = {"all-test": entry | {"training_structures": 0, "test": 100}, "no-test": entry}
    config["potential"]["dataset"] = "all-test"
    text = problems(config)
    assert (
        "datasets.all-test.test: " in text and "right would be: to leave it out; where training_structures is 0" in text
    )
    assert "datasets.no-test: 'validation' is a required property" in text
    config["datasets"] = {"all-test": entry | {"training_structures": 0}}
    assert "potential.data: 100 is more than all-test has for training, 0 structures" in problems(config)


def test_cells_are_the_grid_with_more_seeds_on_the_small_half(config):
    cells = study.cells(complete(config, REGISTRY))
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    # language: 2 widths × (2 + 1 + 1 runs); potential: 2 depths × (2 + 1 runs)
    assert len([n for n in names if n.startswith("language")]) == 8
    assert len([n for n in names if n.startswith("potential")]) == 6
    assert "language/chemgpt-slim/w8/10/seed1" in names and "language/chemgpt-slim/w8/100/seed1" not in names
    assert "potential/schnet/d3-w8/10/seed1" in names


def test_one_value_changes_exactly_its_cells(config):
    before = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    config["language"]["data"] = [10, 100, 1100]
    after = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {f"language/chemgpt-slim/w{w}/1100/seed0" for w in (8, 16)}


def test_costs_grow_with_size_and_data_and_move_large_cells_to_a_gpu(config):
    config["language"]["families"] = {"chemgpt": {"widths": [16, 2048], "learning_rate": 0.001}}
    cells = {(c.size, c.data): c for c in study.cells(complete(config, REGISTRY)) if c.arm == "language"}
    assert cells["w2048", 10].parameters == 1_208_455_168
    assert cells["w16", 1000].flops > cells["w16", 10].flops
    small, large = study.resources(cells["w16", 10]), study.resources(cells["w2048", 1000])
    assert small["gpu"] == 0 and large["gpu"] == 1
    assert large["mem_mb"] > 16 * 1_208_455_168 / 1e6, "weights, gradients and Adam's moments must fit"
    assert study.resources(cells["w16", 10], attempt=2)["runtime"] == 2 * small["runtime"]


@pytest.mark.parametrize("arm", ["language", "potential"])
def test_large_cells_train_on_as_many_gpus_as_their_arm_says_and_nothing_trains_again(config, arm):
    before = {cell.name: cell.settings for cell in study.cells(complete(config, REGISTRY))}
    config[arm]["gpus"] = 4
    cells = study.cells(complete(config, REGISTRY))
    assert {(cell.arm, cell.gpus) for cell in cells} == {
        (name, 4 if name == arm else 1) for name in ("language", "potential")
    }
    assert {cell.name: cell.settings for cell in cells} == before
    large = replace(next(cell for cell in cells if cell.arm == arm), flops=1e18)
    assert study.resources(large)["gpu"] == 4


def test_a_dataset_that_names_no_longest_molecule_is_refused(config):
    config["datasets"] = {"own": {key: value for key, value in OWN.items() if key != "max_tokens"}}
    config["language"]["dataset"] = "own"
    assert "datasets.own: lacks max_tokens" in problems(config)


def test_own_datasets_are_checked_like_everything_else(config):
    config["datasets"] = {"own": OWN | {"max_token": 64}, "Bad/Name": OWN}
    text = problems(config)
    assert "datasets.own: " in text and "'max_token' was unexpected" in text
    assert "'Bad/Name' does not match" in text


def test_geometries_to_be_made_need_what_makes_them(config):
    config["datasets"] = {"own": {"arm": "potential", "source": "thermal", "seed": 0, "max_failure_share": 0.05}}
    text = problems(config)
    needed = ("validation", "test", "unseen_molecules", "method", "conformers", "geometries_per_molecule")
    for key in (*needed, "temperature", "molecules", "max_heavy_atoms"):
        assert f"datasets.own: '{key}' is a required property" in text
    config["datasets"]["own"]["smiles"] = ["CCO"]
    assert "'max_heavy_atoms'" not in problems(config)


def test_molecules_longer_than_the_model_sees(config):
    config["datasets"] = {"own": OWN | {"max_tokens": 600}}
    config["language"]["dataset"] = "own"
    assert "language.families.chemgpt-slim: sees 513 tokens, but own keeps molecules of 600" in problems(config)


def test_sweeps_ask_for_what_their_trials_cost(config):
    full = complete(config, REGISTRY)
    small = study.tuning_resources(full, "language", "chemgpt-slim")
    full["language"]["tune"] |= {"widths": [256], "steps": 10**6}
    large = study.tuning_resources(full, "language", "chemgpt-slim")
    assert small["gpu"] == 0 and large["gpu"] == 1 and large["runtime"] > small["runtime"]


@pytest.mark.parametrize(
    "path", ["config.yaml", *(f"studies/{name}.yaml" for name in ("smoke", "reference", "paper", "gfn2-small"))]
)
def test_shipped_studies_are_valid(checkout, path):
    registry = yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())
    config = yaml.safe_load((checkout / "config" / path).read_text())
    assert study.cells(complete(deepcopy(config), registry))


def test_registry_is_valid(checkout, config):
    """Entries of the registry obey the schema of a user's own datasets."""
    registry = yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())
    assert len(registry) >= 8
    complete(config | {"datasets": registry}, REGISTRY)


def test_reference_is_the_default_study(checkout):
    """The cached tables are those of the default study, so both must describe the same cells."""
    registry = yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())
    grids = []
    for path in ("config.yaml", "studies/reference.yaml"):
        config = yaml.safe_load((checkout / "config" / path).read_text())
        grids.append([cell.name for cell in study.cells(complete(config, registry))])
    assert grids[0] == grids[1]


def test_plateau_needs_evaluations_to_see_one(config):
    config["potential"]["training"] = {"schedule": "plateau", "patience": 2, "evaluations": 3}
    text = problems(config)
    assert "potential.training.patience: 2 ends a run before a plateau" in text and "right would be 3 or more" in text
    assert "potential.training.evaluations: 3 ends" in text and "right would be 4 or more" in text
    config["potential"]["training"] = {"schedule": "plateau"}
    assert complete(config, REGISTRY)["potential"]["training"]["patience"] == 4
