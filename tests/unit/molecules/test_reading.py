"""Files of molecules in every form: what is read, which column is taken, and what is no file of molecules."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from chemscale.data.sources import fetch
from chemscale.errors import ChemscaleError
from chemscale.molecules.corpus import encode
from chemscale.molecules.reading import Line, layout_of, read_lines

CSV = 'id,SMILES\n1,CCO\n2,"C[C@H](N)O"\n3,\n'
# as in ZINC-250k: the line end belongs to the value
ZINC = 'smiles,logP,qed\n"CCO\n",-0.1,0.4\n"c1ccccc1\n",1.7,0.44\n'
ENTRY = {
    "arm": "language",
    "source": "file",
    "validation": 5,
    "test": 5,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.5,
}
PROSE = "Molecules are made of atoms.\nThe bonds between them can be single,\ndouble or triple.\nNothing here is one.\n"


def png() -> bytes:
    """A picture of 64 × 64 grey points."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = bytes((x * y * 7) % 256 for y in range(64) for x in range(65))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def read(path: Path, **how) -> list[Line]:
    return list(read_lines(path, layout_of(path, **how)))


def texts(path: Path, **how) -> list[str]:
    return [line.text for line in read(path, **how)]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def packed(path: Path, text: str) -> Path:
    """`text` under a name whose suffix says how it is packed."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__MACOSX/._" + path.stem, "rubbish")
            archive.writestr(path.stem, text)
    else:
        path.write_text(text)
    return path


def encoded(path: Path, **changes) -> dict:
    """Header of a store of the file."""
    fetch("own", ENTRY | changes | {"path": str(path)}, path.parent / "store")
    return encode(path.parent / "store")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
def test_csv_and_lines_are_read_packed_or_not(tmp_path, suffix):
    expected = [Line(2, "CCO", "2"), Line(3, "C[C@H](N)O", "3"), Line(4, "", "4")]
    assert read(packed(tmp_path / ("a.csv" + suffix), CSV)) == expected
    lines = packed(tmp_path / ("a.smi" + suffix), "CCO ethanol 96%\r\n\nCC\tx\n")
    assert read(lines) == [Line(1, "CCO", "ethanol 96%"), Line(2, "", "2"), Line(3, "CC", "x")]


def test_a_quoted_value_keeps_its_row_and_not_its_line_end(tmp_path):
    assert read(written(tmp_path / "zinc.csv", ZINC), column="smiles") == [
        Line(2, "CCO", "2"),
        Line(4, "c1ccccc1", "4"),
    ]


def test_parquet_is_read_in_batches_with_its_nulls(tmp_path, monkeypatch):
    monkeypatch.setattr("chemscale.molecules.reading.PARQUET_ROWS", 2)
    pd.DataFrame({"id": [7, 8, 9], "canonical_smiles": ["CCO", None, "CN"]}).to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [Line(1, "CCO", "1"), Line(2, "", "2"), Line(3, "CN", "3")]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.parquet", "inside.parquet")
    assert texts(tmp_path / "a.zip") == ["CCO", "", "CN"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_records_of_an_sdf_are_molecules_and_unreadable_ones_are_counted(tmp_path, suffix):
    smiles = ["C" * n for n in range(1, 31)] + ["C[C@H](N)O", "c1ccncc1"]
    records = []
    for number, molecule in enumerate(map(Chem.MolFromSmiles, smiles)):
        molecule.SetProp("_Name", f"molecule {number}")
        records.append(Chem.MolToMolBlock(molecule) + "> <extra>\n1\n\n$$$$\n")
    records.insert(3, "broken\n\n\n  what is this\nM  END\n$$$$\n")
    path = packed(tmp_path / ("a.sdf" + suffix), "".join(records).removesuffix("$$$$\n"))
    header = encoded(path)
    assert (header["lines"], header["molecules"]["total"]) == (33, 32)
    assert header["failures"] == {"total": 1, "reasons": {"unreadable SDF record": 1}}
    stored = pd.read_parquet(tmp_path / "store" / "molecules.parquet").set_index("smiles")["origin"]
    assert set(stored.index) == set(smiles)
    assert stored["c1ccncc1"] == "molecule 31"
    failures = pd.read_parquet(tmp_path / "store" / "failures.parquet")
    assert failures["line"].tolist() == [4] and "what is this" in failures["smiles"][0]


def test_a_damaged_end_of_a_record_swallows_no_molecule(tmp_path):
    records = [Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) for smiles in ("CCO", "CN", "CCC")]
    whole = "".join(record + "$$$$\n" for record in records)
    path = packed(tmp_path / "a.sdf", whole.replace("$$$$", ",$$$$", 1))
    line = len((records[0] + "\n" + records[1]).splitlines())
    with pytest.raises(
        ChemscaleError, match=rf"a\.sdf: line {line}: record 1 holds a second molecule; a line \$\$\$\$ is"
    ):
        read(path)


def test_text_of_a_parquet_file_that_is_no_utf8_spoils_one_row_only(tmp_path):
    texts_of_file = pa.array([b"CCO", b"C\xcfC", b"CN"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"smiles": texts_of_file}), tmp_path / "a.parquet", use_dictionary=False)
    assert texts(tmp_path / "a.parquet") == ["CCO", "C\ufffdC", "CN"]


def test_bytes_that_are_no_text_spoil_one_line_only(tmp_path):
    (tmp_path / "a.smi").write_bytes(b"CC\n\xff\xfe\nCC\x85CC\nCC\xa0C\nCCO\n")
    assert texts(tmp_path / "a.smi") == ["CC", "ÿþ", "CC…CC", "CC\ufffdC", "CCO"]


@pytest.mark.parametrize("name", ["smiles", "SMILES", "canonical_smiles", "Isomeric SMILES"])
def test_a_column_is_found_by_its_name(tmp_path, name):
    assert texts(written(tmp_path / "a.csv", f"id,{name},note\nC,no molecule yet,N\n")) == ["no molecule yet"]


def test_a_column_is_found_by_its_molecules(tmp_path):
    path = written(tmp_path / "a.csv", "id,structure,note\na1,CCO,spirit\na2,c1ccccc1,\na3,what,x\n")
    assert texts(path) == ["CCO", "c1ccccc1", "what"]


def test_without_a_header_the_first_molecule_is_one(tmp_path):
    path = written(tmp_path / "a.csv", "CCO,1.5,spirit\nc1ccccc1,2.5,x y\n")
    assert read(path) == [Line(1, "CCO", "1"), Line(2, "c1ccccc1", "2")]
    assert texts(written(tmp_path / "one.csv", "CCO,1.5\n")) == ["CCO"]


def test_a_column_that_is_not_there_or_not_plain_names_those_there_are(tmp_path):
    path = written(tmp_path / "a.csv", CSV)
    with pytest.raises(ChemscaleError, match=r"a.csv: no column 'smiles' in its header; .* one of id, SMILES"):
        layout_of(path, column="smiles")
    path = written(tmp_path / "b.csv", "id,smiles,canonical_smiles\n1,OCC,CCO\n")
    with pytest.raises(ChemscaleError, match="each of the columns smiles, canonical_smiles could be the SMILES"):
        layout_of(path)
    path = written(tmp_path / "c.csv", "id,acid,base\n1,CC(=O)O,CN\n")
    with pytest.raises(ChemscaleError, match="each of the columns acid, base could be the SMILES"):
        layout_of(path)
    path = written(tmp_path / "d.csv", "id,name\n1,water\n")
    with pytest.raises(ChemscaleError, match=r"no column is called smiles .*, one of id, name"):
        layout_of(path)
    with pytest.raises(ChemscaleError, match="read as lines, which has no columns"):
        layout_of(written(tmp_path / "a.smi", "CCO\n"), form="lines", column="SMILES")


def test_a_suffix_that_does_not_tell_is_asked_about(tmp_path):
    path = packed(tmp_path / "a.dat.zip", "CCO\n")
    with pytest.raises(ChemscaleError, match=r"cannot infer .* of 'a.dat'; .*\.smi, \.txt, .*, \.sdf"):
        layout_of(path)
    assert texts(path, form="lines") == ["CCO"]


@pytest.mark.parametrize("suffix", ["gz", "zip"])
def test_a_damaged_archive_is_named(tmp_path, suffix):
    path = packed(tmp_path / f"a.smi.{suffix}", "CCO\n" * 1000)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ChemscaleError, match=f"a.smi.{suffix}: damaged"):
        read(path)


def test_a_damaged_parquet_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"smiles": ["C" * n for n in range(1, 500)]}).to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ChemscaleError, match=r"a\.parquet: damaged"):
        read(path)
    path.write_bytes(whole[:100] + b"\x55" * 400 + whole[500:])
    with pytest.raises(ChemscaleError, match=r"a\.parquet: damaged"):
        read(path)


@pytest.mark.parametrize("name", ["picture.smi", "picture.sdf", "picture.smi.gz"])
def test_a_picture_is_no_file_of_molecules(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(png()) if path.suffix == ".gz" else png())
    with pytest.raises(ChemscaleError, match="not a text file"):
        encoded(path)


def test_pictures_called_tables_are_none(tmp_path):
    for name, message in [("a.parquet", "damaged"), ("a.csv", "not a text file"), ("a.zip", "damaged")]:
        (tmp_path / name).write_bytes(png())
        with pytest.raises(ChemscaleError, match=message):
            encoded(tmp_path / name)


def test_prose_and_the_wrong_column_are_no_molecules(tmp_path):
    with pytest.raises(ChemscaleError, match=r"prose.txt: read as lines, only 0 of .*line 1 has 'Molecules'"):
        encoded(written(tmp_path / "prose.txt", PROSE))
    with pytest.raises(ChemscaleError, match=r"a.csv: read as csv, column 'id', only 0 of the first 3 .* \(line 2"):
        encoded(written(tmp_path / "a.csv", CSV), column="id")


@pytest.mark.parametrize(("name", "text"), [("a.smi", ""), ("a.smi", "\n\n"), ("a.csv", ""), ("a.csv", "smiles,id\n")])
def test_an_empty_file_says_so(tmp_path, name, text):
    with pytest.raises(ChemscaleError, match=f"{name}: the file is empty"):
        encoded(written(tmp_path / name, text))
