"""Tables as people have them: delimiters, quotes, encodings, text files with the SMILES in another column."""

from pathlib import Path
from typing import get_args

import pytest
from helpers.small_corpora import ENTRY

from chemscale.data.entries import MoleculeFileEntry
from chemscale.data.sources import fetch
from chemscale.errors import ChemscaleError
from chemscale.molecules.corpus import encode
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.molecules.tables import DELIMITERS, find_delimiter

SMILES = ["CCO", "c1ccccc1", "CN", "CC(=O)O", "C#N"]


def texts(path: Path, **how) -> list[str]:
    return [line.text for line in read_lines(path, layout_of(path, **how))]


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def table(delimiter: str, header: bool = True, end: str = "\n") -> str:
    rows = [["id", "structure", "note"]] if header else []
    rows += [[f"M{n}", smiles, f"{n}.5"] for n, smiles in enumerate(SMILES)]
    return "".join(delimiter.join(row) + end for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.smi"])
def test_the_delimiter_is_found(tmp_path, delimiter, header, name):
    path = written(tmp_path / name, table(delimiter, header))
    # a text file with blanks or tabs is read word by word: its header is a line that is no molecule
    words = delimiter == "\t" and name != "a.csv"
    assert texts(path) == (["structure"] if words and header else []) + SMILES
    assert [line.number for line in read_lines(path, layout_of(path))][-1] == len(SMILES) + header


@pytest.mark.parametrize("name", [*DELIMITERS])
def test_the_delimiter_is_named(tmp_path, name):
    path = written(tmp_path / "a.csv", table(DELIMITERS[name]))
    assert texts(path, delimiter=name) == SMILES
    assert layout_of(path, delimiter=name).delimiter == DELIMITERS[name]


def test_the_delimiters_of_an_entry_are_those_that_can_be_read():
    literal = get_args(get_args(MoleculeFileEntry.model_fields["delimiter"].annotation)[0])
    assert literal == tuple(DELIMITERS)


def test_a_delimiter_that_is_none_is_refused(tmp_path):
    with pytest.raises(ChemscaleError, match=r"delimiter = .x.: unknown; use one of ,, ;, .*, tab, space"):
        layout_of(written(tmp_path / "a.csv", table(",")), delimiter="x")


def test_tables_of_semicolons_with_commas_in_numbers_and_names(tmp_path):
    """As spreadsheets write them where a comma is the decimal point, and as ChEMBL does."""
    path = written(tmp_path / "a.csv", "Name;Smiles;pIC50\n1,2-ethanediol;OCCO;5,2\nethanol, absolute;CCO;6,1\n")
    assert texts(path) == ["OCCO", "CCO"]
    assert str(layout_of(path)) == "csv, delimiter ';', column 'Smiles'"
    quoted = '"ChEMBL ID";"Name";"Smiles"\n"CHEMBL1";"A;B";"CCO"\n"CHEMBL2";"";"CN"\n'
    assert texts(written(tmp_path / "b.csv", quoted)) == ["CCO", "CN"]


def test_a_tsv_is_of_tabs_even_if_it_has_more_commas(tmp_path):
    path = written(tmp_path / "a.tsv", "smiles\tname, synonym, mass\nCCO\tethanol, alcohol, 46\n")
    assert texts(path) == ["CCO"] and layout_of(path).names == ("smiles", "name, synonym, mass")


def test_the_first_lines_choose_the_delimiter():
    assert find_delimiter(["a,b;c", "1,2;3", "4,5;6"]) == ","
    assert find_delimiter(["a;b (x, y)", "1;2", "3;4"]) == ";"
    assert find_delimiter(["smiles", "CCO"]) == "," and find_delimiter([]) == ","


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("CHEMBL12 CCO\nCHEMBL13 CN\n", ["CCO", "CN"]),
        ("CHEMBL12\tCCO\tethanol\nCHEMBL13\tCN\tmethyl amine\n", ["CCO", "CN"]),
        ("1 x CCO\n2 y CN\n\n", ["CCO", "CN", ""]),
        ("CCO ethanol\nCN N\n", ["CCO", "CN"]),  # the first word wins
    ],
)
def test_the_smiles_of_a_text_file_may_be_another_word(tmp_path, content, expected):
    assert texts(written(tmp_path / "a.txt", content)) == expected


def test_the_other_words_are_the_origin(tmp_path):
    path = written(tmp_path / "a.txt", "CHEMBL12 CCO pure alcohol\nCHEMBL13 CN\n")
    assert [line.origin for line in read_lines(path, layout_of(path))] == ["CHEMBL12 pure alcohol", "CHEMBL13"]
    assert str(layout_of(path)) == "lines, word 2"


def test_a_text_file_with_a_named_column_is_a_table(tmp_path):
    path = written(tmp_path / "a.txt", "smiles product\nCCO CN\nCC C=O\n")
    assert texts(path, column="product", delimiter="space") == ["CN", "C=O"]
    path = written(tmp_path / "b.txt", "smiles;product\nCCO;CN\nCC;C=O\n")
    assert texts(path, column="product") == ["CN", "C=O"]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (['100,CCO,"5 inch', *[f"{n},{'C' * n},x" for n in range(1, 30)]], 2),  # never closed
        (["1,C,x", '100,CCO,"5 inch', *[f"{n},{'C' * n},x" for n in range(1, 30)], '7,CCC,3"'], 3),  # closed later
        (['100,CCO,"5 inch', '7,CCC,3"'], 2),
        (["1,C,x", '100,CCO,"5 inch', '7,CCC",3'], 3),
        (['100,"CCO,5', '101,CCN",6', "1,C,x"], 2),
        (["1,C,x", '"2,C,x', '3",CN,x'], 3),
        (["1,C,x", '2,C,"5" pipe"', "3,CN,x"], 3),
        (['1,C,"a', 'b"', '2,C,"5 inch', *["3,CN,x"] * 9], 4),
        (['1,C,"a', 'b"', '2,"CC', '","5 inch', *["3,CN,x"] * 9], 5),  # opens on the second line of a row
        (['100,CCO,"5 inch', *["3,CN,x"] * 30_000], 2),  # more than a value may be long
    ],
)
def test_an_unbalanced_quote_names_the_line_in_which_it_opens(tmp_path, rows, line):
    path = written(tmp_path / "a.csv", "\n".join(["id,smiles,note", *rows]) + "\n")
    for how in ({}, {"column": "smiles"}):
        with pytest.raises(ChemscaleError, match=rf"a\.csv, line {line}: a quote opens here"):
            texts(path, **how)


def test_an_unbalanced_quote_after_the_first_rows_swallows_none(tmp_path):
    rows = [f"{n},{'C' * (n % 40 + 1)},x" for n in range(2_000)]
    rows[1_200] = '1200,CCO,"5 inch'
    rows[1_800] = '1800,CCN,3"'
    path = written(tmp_path / "a.csv", "\n".join(["id,smiles,note", *rows]) + "\n")
    fetch("own", ENTRY | {"path": str(path), "format": "csv"}, tmp_path)
    with pytest.raises(ChemscaleError, match=r"a\.csv, line 1,202: a quote opens here .*closes in line 1,802"):
        encode(tmp_path)
    assert not (tmp_path / "corpus.json").exists()


def test_line_ends_delimiters_and_quotes_in_quotes_are_values(tmp_path):
    rows = ['"CCO\n",4,1', '"CN\n","a ""quoted"" word",1', 'CC,"two\nlines, with, commas",1', 'C,5" pipe,1']
    path = written(tmp_path / "a.csv", "\n".join(["smiles,note,x", *rows]) + "\n")
    assert texts(path) == ["CCO", "CN", "CC", "C"]
    assert [line.number for line in read_lines(path, layout_of(path))] == [2, 4, 6, 8]


def test_many_rows_of_two_lines_each(tmp_path):
    """As in ZINC-250k, whose SMILES have a line end inside the quotes; the first lines end within a row."""
    content = "smiles,logP,qed\n" + "".join(f'"{"C" * n}\n",{n}.5,0.1\n' for n in range(1, 120))
    assert texts(written(tmp_path / "a.csv", content)) == ["C" * n for n in range(1, 120)]


def test_a_comma_without_quotes_that_may_have_moved_the_smiles_is_counted(tmp_path):
    rows = ["1,ethanol,CCO", "2,N,N-dimethylaniline,CN(C)c1ccccc1", "3,a,C,CCN", "4,propane,CCC,remark", "5,ethane,CC,"]
    path = written(tmp_path / "a.csv", "\n".join(["id,name,smiles", *rows]))
    assert texts(path) == ["CCO", rows[1], rows[2], "CCC", "CC"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("name", ["a.csv", "a.smi"])
def test_encodings(tmp_path, encoding, name):
    content = "smiles,näme\nCCO,µ-x\nCN,é\n" if name == "a.csv" else "CCO µ-x\nCN é\n"
    path = written(tmp_path / name, content, encoding)
    layout = layout_of(path)
    assert texts(path) == ["CCO", "CN"] and layout.names == (("smiles", "näme") if name == "a.csv" else ())
    if name == "a.smi":
        assert [line.origin for line in read_lines(path, layout)] == ["µ-x", "é"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_line_ends_of_every_system(tmp_path, end, name):
    path = written(tmp_path / name, table(";", end=end))
    assert texts(path) == SMILES
    assert [line.number for line in read_lines(path, layout_of(path))] == [2, 3, 4, 5, 6]
