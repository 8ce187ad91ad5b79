"""Settings are typed in the library and the same JSON on disk, so that old records stay valid."""

import json
from pathlib import Path

import pytest

from chemscale.config.cell_settings import CellSettings, SweepSettings
from chemscale.errors import ChemscaleError
from chemscale.files import fingerprint, write_json

KEPT = Path(__file__).parent / "data"
FINGERPRINTS = {
    "language": "059d643eb6ef321db120f2b54fa590a0137d37a746050f6db03f02f156b1caaf",
    "potential": "370367fa601f48e6e0bd7c2beb728d759ad41428d6f67df2933603965ae7a82c",
}


def kept(arm: str) -> dict:
    return json.loads((KEPT / f"{arm}_settings.json").read_text())


@pytest.mark.parametrize("arm", ["language", "potential"])
def test_settings_of_an_old_record_keep_bytes_and_fingerprint(arm, tmp_path):
    settings = CellSettings.from_json(kept(arm))
    write_json(tmp_path / "settings.json", settings.to_json())
    assert (tmp_path / "settings.json").read_bytes() == (KEPT / f"{arm}_settings.json").read_bytes()
    assert fingerprint(settings.to_json()) == FINGERPRINTS[arm]
    assert "depth" not in settings.to_json() or arm == "potential"


def test_keys_that_are_absent_have_a_value_in_the_library_and_stay_absent_on_disk():
    potential = CellSettings.from_json(kept("potential"))
    training = potential.training
    assert (training.accumulate, training.ema, training.precision, training.batch_tokens) == (1, 0.0, "float32", None)
    assert not {"accumulate", "ema", "precision", "batch_tokens"} & set(potential.to_json()["training"])
    plain = kept("language")
    del plain["training"]["precision"], plain["training"]["accumulate"]
    language = CellSettings.from_json(plain)
    assert (language.training.precision, language.training.accumulate, language.training.ema) == ("float32", 1, 0.0)
    assert language.depth is None
    assert language.to_json() == plain


def test_numbers_keep_the_type_that_they_were_written_with():
    plain = kept("potential")
    plain["training"] |= {"weight_decay": 0, "clip": 1, "ema": 0.5}
    assert json.dumps(CellSettings.from_json(plain).to_json()) == json.dumps(plain, sort_keys=True)


def test_replaced_keys_are_in_the_json():
    settings = CellSettings.from_json(kept("language") | {"learning_rate": "tuned"})
    changed = settings.replace(learning_rate=0.01)
    assert changed.to_json() == kept("language") | {"learning_rate": 0.01}
    assert settings.learning_rate == "tuned"


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        CellSettings.from_json(kept("language")).width = 16


def test_all_problems_of_settings_are_reported_with_their_file():
    plain = kept("potential") | {"wdth": 8}
    plain["training"] |= {"batch_tokens": 600, "clip": 0}
    del plain["seed"]
    with pytest.raises(ChemscaleError) as error:
        CellSettings.from_json(plain, "cell.json")
    assert str(error.value).splitlines()[0] == "cell.json: 4 problems"
    assert "  - training.batch_tokens: unknown key; did you mean batch_atoms?" in str(error.value)
    assert "  - training.clip = 0: must be greater than 0 (largest norm of the gradient)" in str(error.value)
    assert "  - seed: missing; add it (seed of the initial weights and of the order of batches)" in str(error.value)
    assert "  - wdth: unknown key; did you mean width?" in str(error.value)
    with pytest.raises(ChemscaleError, match=r"^settings: arm = 'potentials': expected one of language, potential$"):
        CellSettings.from_json(kept("potential") | {"arm": "potentials"})


def test_a_trial_is_a_cell_of_the_sweep():
    plain = {key: kept("language")[key] for key in ("arm", "family", "seed", "dataset", "training", "recipe")}
    plain["tune"] = {"widths": [8, 16], "learning_rates": [0.01, 0.03, 0.1], "data": 100, "steps": 40}
    sweep = SweepSettings.from_json(plain)
    assert sweep.to_json() == plain
    steps = {"per_sqrt_example": 0, "epochs": 0, "minimum": 80, "maximum": 80}
    training = plain["training"] | {"steps": steps, "batch_tokens": 300}
    expected = plain | {"width": 16, "learning_rate": 0.03, "data": 100, "training": training}
    assert sweep.trial(16, 0.03, 300).to_json() == expected
    without = SweepSettings.from_json(
        plain | {"arm": "potential", "depth": 2, "training": kept("potential")["training"]}
    )
    assert without.trial(8, 0.01, None).training.steps.maximum == 40
