"""Where molecules come from: RDKit's own, recombined ones, files in every form, and entries that cannot be used."""

from collections import Counter
from typing import get_args

import pytest
from rdkit import Chem

from chemscale.config.complete import complete
from chemscale.config.reference import schema
from chemscale.data.entries import GeometryFileEntry, MoleculeEntry, Source
from chemscale.data.sources import SOURCES, check_entry, fetch, registry
from chemscale.data.sources.rdkit import FILES
from chemscale.data.sources.thermal import ThermalGeometries
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, sha256
from chemscale.geometries.charge_spin import SPIN
from chemscale.geometries.formats import FORMATS, Format
from chemscale.geometries.labels import DISPLACEMENTS
from chemscale.geometries.unit_checks import RANGES
from chemscale.geometries.units import DEFAULTS, FLAGS
from chemscale.molecules.embedded import FILES as RDKIT_FILES
from chemscale.molecules.embedded import embedded_molecules
from chemscale.molecules.reading import Layout, Line, read_lines
from chemscale.molecules.recombine import recombine
from chemscale.typed import key

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
    with pytest.raises(ChemscaleError, match=r"recombined\.count = 50: only 2 new molecules found"):
        list(recombine(AMIDES, 50, seed=0))
    with pytest.raises(ChemscaleError, match="no molecule has a bond that BRICS cuts"):
        list(recombine([("CC", "a"), ("unreadable", "b")], 1, seed=0))


def test_a_recombination_that_fails_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("chemscale.molecules.embedded.embedded_molecules", lambda names: AMIDES)
    entry = {"arm": "language", "source": "recombined", "files": ["nci"], "count": 50, **SPLITS}
    with pytest.raises(ChemscaleError, match="count = 50: only 2 new molecules found"):
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
        ({"path": "nowhere.smi"}, r"own.path = 'nowhere.smi': no such file \(/.*/nowhere.smi\); correct the path"),
        (
            {"source": "cloud"},
            "own: source = 'cloud': the language arm has no such kind of source; use one of rdkit, rec",
        ),
        ({"source": "files"}, "own: source = 'files': .* did you mean file?"),
        ({"arm": "molecules"}, "own: arm = 'molecules': expected one of language, potential"),
        ({"source": "download"}, "own: url: missing; add it .address of the file"),
        (
            {"source": "rdkit", "format": None},
            "own: 2 problems\n  - files: missing; add it .*\n  - format: unknown key",
        ),
        ({"path": "a.csv", "column": 3}, "own: column = 3: expected text .column of SMILES"),
        ({}, "own: path: missing; add it .path of the file"),
        (
            {"path": "a.csv", "split_column": "SPLIT", "format": None},
            "own: format = null: has no value; give one or leave",
        ),
        (
            {"path": "a.csv", "split_column": "S", "format": "csv"},
            "own: split_column = 'S': needs splits too; give both",
        ),
        ({"path": "a.csv", "column": "smiles"}, "own: column = 'smiles': format: lines has no column; leave it out"),
        (
            {"path": "a.csv", "split_column": "SPLIT", "splits": {"train": "a"}, "format": "csv"},
            "own: splits = {'train': 'a'}: must name train and test, as in {train: train, test: test}",
        ),
    ],
)
def test_an_entry_that_cannot_be_used_says_why(tmp_path, change, message):
    with pytest.raises(ChemscaleError, match=message):
        fetch("own", FILE | change, tmp_path)
    assert not (tmp_path / "source.json").exists()


def test_geometries_that_are_made_here_are_not_fetched(tmp_path):
    with pytest.raises(
        ChemscaleError, match=r"gfn2-tiny.source = 'thermal': nothing to fetch; `chemscale label` makes"
    ):
        fetch("gfn2-tiny", registry()["gfn2-tiny"], tmp_path)


LABELLED = {
    "arm": "potential",
    "source": "file",
    "path": "a.h5",
    "method": "wB97X",
    "seed": 0,
    "max_failure_share": 0.0,
}
LABELLED |= {"unseen_molecules": 1, "validation": 1, "test": 1}
LABELS = {"format": "ani1x", "energy": "E", "forces": "F", "energy_unit": "eV", "forces_unit": "eV/angstrom"}


@pytest.mark.parametrize("source", ["file", "download"])
def test_labelled_geometries_need_a_format_and_names(source):
    entry = LABELLED | {"source": source, "url": "https://a.b/c.h5"}
    del entry["url" if source == "file" else "path"]
    missing = [line.split(";")[0] for line in check_entry(entry, "mine")[1]]
    assert missing == [f"mine.{key}: missing" for key in ("format", "energy", "forces")]
    typed, problems = check_entry(entry | LABELS)
    assert not problems and (typed.length_unit, typed.forces_are, typed.spin_is) == (None, "forces", "unpaired")
    (line,) = check_entry(entry | LABELS | {"missing_charge": 0}, "mine")[1]
    assert line.startswith("mine.missing_charge = 0: has no meaning without charge")


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("format", "ani1", "unknown name; did you mean ani1x?"),
        ("energy_unit", "ev", "expected one of eV, hartree, kcal/mol, kJ/mol"),
        (
            "forces_unit",
            "eV",
            "expected one of eV/angstrom, hartree/angstrom, hartree/bohr, kcal/mol/angstrom, kJ/mol/ang",
        ),
        ("length_unit", "mile", "expected one of angstrom, bohr, nm"),
        ("forces_are", "minus", "expected one of forces, gradient"),
        ("spin_is", "half", "expected one of unpaired, multiplicity"),
    ],
)
def test_unknown_formats_and_units_name_the_known_ones(key, value, advice):
    (line,) = check_entry(LABELLED | LABELS | {key: value})[1]
    assert line.startswith(f"{key} = {value!r}: {advice}")


def test_units_are_those_that_ingest_converts():
    fields = GeometryFileEntry.model_fields
    for name, known in {**FLAGS, "spin_is": SPIN}.items():
        choice, *optional = get_args(fields[name].annotation)
        assert (get_args(choice) if optional == [type(None)] else (choice, *optional)) == tuple(known)
    assert {name: fields[name].default or "angstrom" for name in DEFAULTS} == DEFAULTS
    (checks,) = get_args(fields["skip_unit_checks"].annotation)
    assert get_args(checks) == tuple(RANGES)
    assert get_args(ThermalGeometries.model_fields["displacement"].annotation) == tuple(DISPLACEMENTS)
    assert set(FILES) == set(RDKIT_FILES)


def test_geometries_to_be_made_need_what_makes_them():
    thermal = {"arm": "potential", "source": "thermal", "seed": 0, "max_failure_share": 0.05}
    needed = {"method", "conformers", "geometries_per_molecule", "temperature"}
    chosen = {"unseen_molecules", "validation", "test", "molecules", "max_heavy_atoms"}
    assert {line.split(":")[0] for line in check_entry(thermal)[1]} == needed | chosen
    thermal |= {"method": "GFN2-xTB", "conformers": 1, "geometries_per_molecule": 2, "temperature": [300, 600]}
    assert {line.split(":")[0] for line in check_entry(thermal)[1]} == chosen
    assert not check_entry(thermal | {"smiles": ["CCO"], "training_structures": 0})[1]
    assert check_entry(thermal | {"smiles": ["CCO"], "training_structures": 0, "temperature": [600, 300]})[1] == [
        "temperature = [600, 300]: the lowest comes first; write [300, 600]"
    ]


class Cloud(MoleculeEntry):
    """Molecules of a drawer in the cloud."""

    drawer: str = key("name of the drawer")


def test_a_kind_of_source_is_one_model_and_one_function(tmp_path, monkeypatch):
    """A source from outside the package is checked, fetched and used by a study once it is in SOURCES."""

    def open_drawer(name: str, entry: Cloud, directory):
        path = directory / "drawer.smi"
        path.write_text(entry.drawer + "\n")
        return path

    monkeypatch.setitem(SOURCES, "cloud", Source("cloud", {"language": Cloud}, open_drawer))
    entry = {"arm": "language", "source": "cloud", "drawer": "CCO", **SPLITS}
    record = fetch("mine", entry, tmp_path)
    assert (tmp_path / record["file"]).read_text() == "CCO\n" and record["entry"] == entry
    study = {"study": "mine", "datasets": {"mine": entry}}
    study["language"] = {
        "dataset": "mine",
        "data": [10],
        "families": {"chemgpt": {"widths": [16], "learning_rate": 0.1}},
    }
    assert complete(study, {})["datasets"]["mine"] == entry
    study["datasets"]["mine"] = entry | {"drawr": "CCO"}
    with pytest.raises(ChemscaleError, match=r"datasets.mine.drawr: unknown key; did you mean drawer\?"):
        complete(study, {})
    assert "Cloud" in schema()["$defs"]


def test_a_geometry_format_is_one_reader_and_one_record(monkeypatch):
    record = Format("xyzzy", "chemscale.geometries.formats.xyzzy:read", "lines", "the file", needs=("charge",))
    monkeypatch.setitem(FORMATS, "xyzzy", record)
    (line,) = check_entry(LABELLED | LABELS | {"format": "xyzzy"})[1]
    assert line.startswith("charge: missing; add it (what the file calls the charges: one total")
    assert not check_entry(LABELLED | LABELS | {"format": "xyzzy", "charge": "Q"})[1]


def test_every_entry_of_the_registry_is_valid_and_cited():
    entries = registry()
    assert {"rdkit-molecules", "nci-small", "rdkit-recombined", "pubchem-10m", "moses", "zinc-250k"} <= set(entries)
    assert {"gfn2-thermal", "gfn2-tiny", "ani-1x", "comp6", "ani-2x", "spice", "rmd17"} <= set(entries)
    for name, entry in entries.items():
        typed, problems = check_entry(entry)
        assert not problems, name
        assert {"title", "licence", "citation"} <= typed.model_fields_set, name
        if entry["arm"] == "language":
            assert typed.molecules > 4 * (typed.validation + typed.test), name
