from chemscale.analysis.datasets import dataset_table
from chemscale.files import read_json


def test_a_row_per_dataset_with_the_audit_of_its_splits(tiny_corpus, tiny_geometries):
    headers = [read_json(tiny_corpus / "corpus.json"), read_json(tiny_geometries / "geometries.json")]
    table = dataset_table(headers)
    assert table["arm"].tolist() == ["language", "potential"]
    assert table["examples"][0].startswith(f"{headers[0]['molecules']['total']} molecules: test 60, validation 60")
    assert table["splits"][0].startswith("No molecule of test, validation is in train.")
    assert "no unseen molecule is in another split" in table["splits"][1]
    assert table["units"].isna().all()  # nothing was declared


def test_units_that_the_data_cannot_confirm_and_skipped_checks_are_said(tiny_geometries):
    header = read_json(tiny_geometries / "geometries.json")
    header["unit_checks"] = {"unverified": ["forces_are"], "skipped": ["total"], "wrong": []}
    [said] = dataset_table([header])["units"]
    assert said == "declared but not verified by the data: forces_are; checks skipped by the entry: total"


def test_stores_without_an_audit_say_so(tiny_corpus):
    header = read_json(tiny_corpus / "corpus.json")
    del header["audit"]
    assert dataset_table([header])["splits"].tolist() == ["not audited: made by an earlier version"]
