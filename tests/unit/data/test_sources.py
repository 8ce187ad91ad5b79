"""Where molecules come from: RDKit's own, recombined ones, files in every form, and entries that cannot be used."""

from collections import Counter

import pytest
import yaml
from rdkit import Chem

from chemscale.data.sources import NEEDED, NEEDED_BY_CORPUS, fetch
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, sha256
from chemscale.molecules.embedded import embedded_molecules
from chemscale.molecules.reading import Layout, Line, read_lines
from chemscale.molecules.recombine import recombine

SPLITS = {"validation": 1, "test": 1, "seed": 0, "max_tokens": 64, "max_failure_share": 0.1}
FILE = {"arm": "language", "source": "file", "format": "lines", **SPLITS}
PARENTS = [
    ("CCNC(=O)c1ccccc1", "nci:1"),
    ("COc1ccc(CN)cc1", "nci:2"),
    ("CC(=O)OCCN(C)C", "wehi:1"),
    ("O=C(Nc1ccncc1)C1CC1", "wehi:2"),
    ("CCS(=O)(=O)Nc1ccc(Cl)cc1", "wehi:3"),
]


def test_rdkit_brings_fifteen_thousand_lines_with_their_origin():
    lines = list(embedded_molecules(["nci", "wehi"]))
    assert Counter(origin.split(":")[0] for _, origin in lines) == {"nci": 4999, "wehi": 10000}
    assert lines[0] == ("CC1=CC(=O)C=CC1=O", "nci:1")
    assert lines[4999] == ("N(NC(=O)C1CCC1)c2ccc(cc2)C(C)(C)C", "wehi:1")


def test_fetch_of_rdkit_writes_a_line_each_and_the_record(tmp_path):
    entry = {"arm": "language", "source": "rdkit", "files": ["nci"], **SPLITS}
    record = fetch("mine", entry, tmp_path)
    assert record == read_json(tmp_path / "source.json")
    raw = tmp_path / record["file"]
    assert record == {
        "name": "mine",
        "entry": entry,
        "file": "molecules.smi",
        "bytes": raw.stat().st_size,
        "sha256": sha256(raw),
    }
    lines = list(read_lines(raw, Layout("lines")))
    assert len(lines) == 4999
    assert lines[16] == Line(17, next(s for s, origin in embedded_molecules(["nci"]) if origin == "nci:17"), "nci:17")


def test_recombined_molecules_are_new_distinct_canonical_and_say_whose_halves_they_are():
    children = list(recombine(PARENTS, 60, seed=0))
    smiles = [child for child, _ in children]
    assert len(set(smiles)) == 60
    assert smiles == [Chem.CanonSmiles(child) for child in smiles]
    assert not set(smiles) & {Chem.CanonSmiles(parent) for parent, _ in PARENTS}
    parents = {origin: Chem.MolFromSmiles(parent) for parent, origin in PARENTS}
    for child, origin in children:
        one, other = (parents[name] for name in origin.split("+"))
        # each atom comes from one of the two
        assert Chem.MolFromSmiles(child).GetNumHeavyAtoms() < one.GetNumHeavyAtoms() + other.GetNumHeavyAtoms()
        elements = Counter(a.GetSymbol() for m in (one, other) for a in m.GetAtoms())
        assert not Counter(a.GetSymbol() for a in Chem.MolFromSmiles(child).GetAtoms()) - elements


AMIDES = [("ClCCC(=O)NC", "a"), ("BrCCC(=O)N(C)C", "b")]  # one bond each that BRICS cuts, between environments 1 and 5


def test_recombination_joins_only_what_brics_would_cut():
    children = dict(recombine(AMIDES, 2, seed=0))
    assert set(children) == {"CN(C)C(=O)CCCl", "CNC(=O)CCBr"}
    assert {frozenset(origin.split("+")) for origin in children.values()} == {frozenset("ab")}


def test_recombination_depends_on_its_seed_alone():
    assert list(recombine(PARENTS, 20, seed=1)) == list(recombine(PARENTS, 20, seed=1))
    assert list(recombine(PARENTS, 20, seed=1)) != list(recombine(PARENTS, 20, seed=2))


def test_recombination_of_real_molecules_is_not_one_core_over_and_over():
    parents = list(embedded_molecules(["nci"]))[:300]
    children = list(recombine(parents, 300, seed=0))
    used = Counter(origin for _, pair in children for origin in pair.split("+"))
    assert len(used) > 100 and used.most_common(1)[0][1] < 30


def test_more_children_than_there_are_is_an_error():
    with pytest.raises(ChemscaleError, match="only 2 new molecules of the 50 asked for"):
        list(recombine(AMIDES, 50, seed=0))
    with pytest.raises(ChemscaleError, match="no molecule has a bond that BRICS cuts"):
        list(recombine([("CC", "a"), ("unreadable", "b")], 1, seed=0))


def test_a_recombination_that_fails_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("chemscale.data.sources.embedded_molecules", lambda names: AMIDES)
    entry = {"arm": "language", "source": "recombined", "files": ["nci"], "count": 50, **SPLITS}
    with pytest.raises(ChemscaleError, match="only 2 new molecules"):
        fetch("mine", entry, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch("mine", entry | {"count": 2}, tmp_path)["file"] == "molecules.smi"


def test_a_file_of_ones_own_is_recorded_where_it_is(tmp_path):
    own = tmp_path / "elsewhere" / "own.smi"
    own.parent.mkdir()
    own.write_text("CCO\n")
    record = fetch("own", FILE | {"path": str(own)}, tmp_path / "data")
    assert record["file"] == str(own) and record["sha256"] == sha256(own)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["source.json"]


def test_a_relative_path_is_taken_from_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.smi").write_text("CCO\n")
    assert fetch("own", FILE | {"path": "own.smi"}, tmp_path / "data")["file"] == str(tmp_path / "own.smi")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere.smi"}, r"own.path: nowhere.smi: no such file \(looked for /"),
        ({"source": "cloud"}, "own.source: 'cloud' is wrong; right would be one of rdkit, recombined, file, download"),
        ({"source": "download"}, "own: the entry lacks url"),
        ({"source": "rdkit"}, "own: the entry lacks files"),
        ({"source": "rdkit", "files": ["zinc"]}, "own.files: 'zinc' is not one of nci, wehi"),
        ({}, "own: the entry lacks path"),
        ({"path": "a.csv", "split_column": "SPLIT"}, "own: to keep the splits of a file takes both `split_column` and"),
        (
            {"path": "a.csv", "split_column": "SPLIT", "splits": {"train": "a"}},
            "what that column calls train, test and",
        ),
    ],
)
def test_an_entry_that_cannot_be_used_says_why(tmp_path, change, message):
    with pytest.raises(ChemscaleError, match=message):
        fetch("own", FILE | change, tmp_path)
    assert not (tmp_path / "source.json").exists()


def test_every_entry_of_the_registry_has_what_its_source_needs(checkout):
    registry = yaml.safe_load((checkout / "resources" / "datasets.yaml").read_text())
    entries = {name: entry for name, entry in registry.items() if entry["arm"] == "language"}
    assert {"rdkit-molecules", "nci-small", "rdkit-recombined", "pubchem-10m", "moses", "zinc-250k"} <= set(entries)
    for name, entry in entries.items():
        needed = {*NEEDED[entry["source"]], *NEEDED_BY_CORPUS, "title", "molecules", "licence", "citation"}
        assert not needed - set(entry), name
        assert entry["molecules"] > 4 * (entry["validation"] + entry["test"]), name
