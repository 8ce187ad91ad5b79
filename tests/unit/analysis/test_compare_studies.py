"""Studies compared whose laws are known: exponents that differ by a known amount, and ones that agree."""

import pytest
from helpers.finished import language_runs, write_study

from chemscale.analysis.compare_studies import compare_studies
from chemscale.analysis.studies import open_studies
from chemscale.errors import ChemscaleError


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_study(folder / "slow", language_runs(0.2, seed=1), evaluations=5)
    write_study(folder / "fast", language_runs(0.3, seed=2), evaluations=8, ema=0.0)
    write_study(folder / "again", language_runs(0.2, seed=3), evaluations=5, accumulate=1)
    write_study(folder / "coarse", language_runs(0.2, seed=4), confidence=0.8)
    return folder


def along_data(content):
    (law,) = [law for law in content["arms"][0]["laws"] if law["along"] == "data"]
    return law, law["exponents"][0]


def test_exponents_that_differ_by_a_known_amount_are_told_apart(results):
    law, entry = along_data(compare_studies(open_studies(["slow", "fast"], results)))
    assert (law["family"], law["at"], law["form"]) == ("chemgpt-slim", "w16", "power") and law["floor"] is None
    assert entry["values"] == pytest.approx([0.2, 0.3], abs=0.01) and entry["agree"] is False
    low, high = entry["difference"]["interval"]
    assert low < 0.1 < high and high - low < 0.04
    assert entry["factors"] == pytest.approx([2 ** (1 / value) for value in entry["values"]])
    assert entry["factor_intervals"][0] == pytest.approx([2 ** (1 / end) for end in reversed(entry["intervals"][0])])


def test_exponents_that_are_equal_agree_and_so_do_losses(results):
    content = compare_studies(open_studies(["slow", "again"], results))
    _, entry = along_data(content)
    assert entry["agree"] is True
    assert entry["difference"]["interval"][0] < 0 < entry["difference"]["interval"][1]
    (losses,) = content["arms"][0]["losses"]
    assert losses["cells"] == 10 and losses["interval"][0] < 1 < losses["interval"][1]
    assert losses["rms_percent"] == pytest.approx(1.4, abs=0.6)  # √2 times the noise of 1 %


def test_three_studies_get_one_test_of_all(results):
    content = compare_studies(open_studies(["slow", "again", "fast"], results))
    _, entry = along_data(content)
    assert entry["agreement"]["degrees"] == 2 and entry["agreement"]["p"] < 1e-6 and entry["agree"] is False
    assert [(row["family"], row["study"]) for row in content["arms"][0]["losses"]] == [
        ("chemgpt-slim", 1),
        ("chemgpt-slim", 2),
    ]


def test_settings_that_differ_are_listed_and_defaults_do_not_count(results):
    (arm,) = compare_studies(open_studies(["slow", "fast"], results))["arms"]
    assert arm["settings"] == [{"key": "training.evaluations", "values": ["5", "8"]}]
    (arm,) = compare_studies(open_studies(["slow", "again"], results))["arms"]
    assert arm["settings"] == [] and arm["settings_unknown"] == []


def test_what_was_trained_is_compared_where_only_tables_were_kept(results, tmp_path):
    kept = write_study(tmp_path / "kept", language_runs(0.2, seed=5, sizes=("w16", "w32")).assign(recipe=1))
    (arm,) = compare_studies(open_studies(["slow", str(kept)], results))["arms"]
    assert arm["settings_unknown"] == ["kept"]
    values = {row["key"]: row["values"] for row in arm["settings"]}
    # the recipe of "slow" is that of its settings, 1
    assert values == {"families.chemgpt-slim": ["w16", "w16, w32"], "runs": ["10", "20"]}


def test_sentences_say_what_was_found(results):
    statements = compare_studies(open_studies(["slow", "fast"], results))["statements"]
    assert statements[0] == "language: settings that differ: training.evaluations."
    assert statements[1] == (
        "language: 0 of 2 exponents agree at 90%; not chemgpt-slim w16 along data, chemgpt-slim along compute "
        "(were all equal, 0.2 would be expected to differ)."
    )
    assert statements[2] == "language: forecasts that held: slow 1 of 1, fast 1 of 1."
    assert "losses of chemgpt-slim in fast are 0.5" in statements[3] and "on 10 matching cells" in statements[3]


def test_all_wrong_studies_are_named_at_once(results, tmp_path):
    (tmp_path / "empty").mkdir()
    unfitted = write_study(tmp_path / "unfitted", language_runs(0.2))
    (unfitted / "fits" / "language.json").unlink()
    with pytest.raises(ChemscaleError) as error:
        open_studies(["slwo", "slow", "slow", str(tmp_path / "empty"), str(unfitted), "zzz"], results)
    assert str(error.value).splitlines() == [
        "slwo: no study of this name; did you mean slow?",
        "slow: the same study twice; name different ones",
        f"{tmp_path}/empty: no tables/runs.parquet; run the study, or name the folder of a finished one",
        f"{unfitted}: no fits/language.json or fits/potential.json; fit its runs first",
        "zzz: no study of this name; use one of again, coarse, fast, slow",
    ]


def test_studies_that_cannot_be_compared_are_refused(results):
    with pytest.raises(ChemscaleError, match="slow: a comparison needs two studies; name two"):
        compare_studies(open_studies(["slow"], results))
    with pytest.raises(ChemscaleError, match=r"scaling.confidence = 0.9 in slow, 0.8 in coarse: intervals differ"):
        compare_studies(open_studies(["slow", "coarse"], results))


def test_studies_of_one_name_are_told_apart_by_the_folder_above(results, tmp_path):
    other = write_study(tmp_path / "elsewhere" / "slow", language_runs(0.2, seed=6))
    names = [study.name for study in open_studies(["slow", str(other), "fast"], results)]
    assert names[1:] == ["slow (elsewhere)", "fast"] and names[0].startswith("slow (results")
