"""Damaged files of molecules: the right corpus, or an error that names the file; never a traceback or a wrong molecule.

CHEMSCALE_FUZZ=10000 pytest tests/unit/molecules/test_fuzz.py tries as many mutations per format; CHEMSCALE_FUZZ_FROM
starts at another one, to repeat a failure.
"""

import gzip
import io
import os
import re
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small_corpora import ENTRY
from rdkit import Chem

from chemscale.data.sources import fetch
from chemscale.errors import ChemscaleError
from chemscale.molecules import encoding
from chemscale.molecules.corpus import encode
from chemscale.molecules.identity import canonical_smiles

MUTATIONS = int(os.environ.get("CHEMSCALE_FUZZ", 40))
FIRST = int(os.environ.get("CHEMSCALE_FUZZ_FROM", 0))
ENDS = ("O", "N", "C(=O)O", "c1ccccc1", "[NH3+]", "[C@H](F)Cl")
SMILES = ["C" * n + end for n in range(1, 9) for end in ENDS]
SPECIAL = b"\" , ; \t \n \r \0 \xff \xef\xbb\xbf \xff\xfe $$$$ ' # |".split(b" ")
VALUES = ["", '"', '""', "NaN", "None", "1e999", "-1", "C" * 400, "C1CC", "[CH3:1]O", "é", "\0", "CCO,CCN", "N,N-x"]
VALUES += [
    " CCO ",
    "CCO |$;$|",
    "*",
    "[Na+].[Cl-]",
    "\ufeffCCO",
    "=SUM(A1)",
    "a\nb",
    "O=C",
    "{}",
    "\\",
    "test",
    "other",
]
VALUES += ["x" * 140_000]
SPLITS = {"split_column": "split", "splits": {"train": "train", "test": "test"}}


def rows(delimiter: str) -> list[list[str]]:
    header = ["id", "smiles", "note", "split"]
    return [header] + [
        [f"M{n}", text, f'"a{delimiter} b"' if n % 5 == 0 else "x", "test" if n % 6 == 0 else "train"]
        for n, text in enumerate(SMILES)
    ]


def table(delimiter: str) -> bytes:
    return "".join(delimiter.join(row) + "\n" for row in rows(delimiter)).encode()


def sdf() -> bytes:
    return "".join(Chem.MolToMolBlock(Chem.MolFromSmiles(text)) + "$$$$\n" for text in SMILES).encode()


def parquet(frame: pd.DataFrame | None = None) -> bytes:
    buffer = io.BytesIO()
    frame = pd.DataFrame(rows(",")[1:], columns=rows(",")[0]) if frame is None else frame
    frame.to_parquet(buffer)
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.smi", content)
    return buffer.getvalue()


LINES = "".join(f"{text} M{n}\n" for n, text in enumerate(SMILES)).encode()
FILES = {
    "a.smi": LINES,
    "b.txt": "".join(f"M{n} {text}\n" for n, text in enumerate(SMILES)).encode(),
    "a.csv": table(","),
    "b.csv": table(";"),
    "a.tsv": table("\t"),
    "a.sdf": sdf(),
    "a.parquet": parquet(),
    "a.smi.gz": gzip.compress(LINES, mtime=0),
    "a.zip": zipped(LINES),
}
TEXT = ("smi", "txt", "csv", "tsv", "sdf")


def of_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Change, remove, repeat, add or cut off some bytes."""
    data = bytearray(content)
    for _ in range(random.integers(1, 4)):
        first = int(random.integers(len(data) + 1))
        last = min(len(data), first + int(random.integers(1, 30)))
        match random.integers(6):
            case 0 if first < len(data):
                data[first] ^= 1 << int(random.integers(8))
            case 1:
                del data[first:last]
            case 2:
                data[first:first] = data[first:last]
            case 3:
                data[first:first] = bytes(random.integers(256, size=random.integers(1, 9), dtype=np.uint8))
            case 4:
                data[first:first] = SPECIAL[random.integers(len(SPECIAL))]
            case _:
                data = data[: max(first, 1)]
    return bytes(data)


def of_fields(delimiter: str, random: np.random.Generator) -> bytes:
    """Change cells, rows and the header of a table; values may come without the quotes they need."""
    cells = rows(delimiter)
    for _ in range(random.integers(1, 4)):
        row = cells[random.integers(len(cells))]
        place = int(random.integers(max(len(row), 1)))
        match random.integers(5):
            case 0 if row:
                row[place] = VALUES[random.integers(len(VALUES))]
            case 1 if row:
                del row[place]
            case 2:
                row.insert(place, VALUES[random.integers(len(VALUES))])
            case 3:
                row.clear()
            case _:
                cells.insert(int(random.integers(len(cells))), list(row))
    return "".join(delimiter.join(row) + "\n" for row in cells).encode()


def of_types(random: np.random.Generator) -> bytes:
    """Change the columns of a Parquet file: their types, names, missing and odd values."""
    frame = pd.DataFrame(rows(",")[1:], columns=rows(",")[0])
    name = str(random.choice(frame.columns))
    match random.integers(9):
        case 0:
            frame[name] = frame[name].astype("category")
        case 1:
            frame[name] = frame[name].str.encode("utf-8")
        case 2:
            frame[name] = [None if random.random() < 0.3 else value for value in frame[name]]
        case 3:
            frame[name] = random.random(len(frame))
        case 4:
            frame[name] = [[value] for value in frame[name]]
        case 5:
            frame = frame.rename(columns={name: VALUES[random.integers(len(VALUES))]})
        case 6:
            frame = frame.iloc[: random.integers(3)]
        case 7:
            frame[name] = [{"value": value} for value in frame[name]]
        case _:
            frame.loc[random.integers(len(frame)), name] = VALUES[random.integers(len(VALUES))]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=bool(random.integers(2))), buffer)
    return buffer.getvalue()


def parts(name: str, content: bytes) -> list[str]:
    """The records of a file as text: lines, or records of an SDF."""
    text = content.decode("utf-8", "replace")
    return re.split(r"(?m)^\$\$\$\$.*\n", text) if name.endswith("sdf") else re.split(r"\r\n|\r|\n", text)


@lru_cache(maxsize=10_000)
def candidates(name: str, part: str) -> set[str]:
    """Canonical SMILES of whatever in a record may be read as a molecule."""
    texts = [part] if name.endswith("sdf") else {word.strip(' "') for word in [part, *re.split(r"[,;\t|\s]", part)]}
    return {canonical_smiles(text, name.endswith("sdf"))[0] for text in texts} - {""}


@pytest.mark.parametrize("splits", [{}, SPLITS], ids=["", "splits"])
@pytest.mark.parametrize("name", FILES)
def test_mutations(tmp_path, name, splits, monkeypatch):
    for function in ("to_selfies", "canonical_smiles"):  # each of the same few texts many times
        monkeypatch.setattr(encoding, function, lru_cache(maxsize=None)(getattr(encoding, function)))
    if splits and name.split(".")[-1] not in ("csv", "tsv", "parquet"):
        pytest.skip("the format has no columns")
    original, known = FILES[name], {canonical_smiles(text)[0] for text in SMILES}
    unchanged = set(parts(name, original))
    refused = 0
    for number in range(FIRST, FIRST + MUTATIONS):
        random = np.random.default_rng((list(FILES).index(name), bool(splits), number))
        kind = name.split(".")[-1]
        if kind in ("csv", "tsv") and random.random() < 0.5:
            content = of_fields({"a.csv": ",", "b.csv": ";", "a.tsv": "\t"}[name], random)
        elif kind == "parquet" and random.random() < 0.5:
            content = of_types(random)
        else:
            content = of_bytes(original, random)
        path = tmp_path / name
        path.write_bytes(content)
        try:
            found, header = stored(path, splits)
        except ChemscaleError as error:
            assert name in str(error) or "own" in str(error), f"mutation {number}: {error}"
            refused += 1
            continue
        except BaseException:
            print(f"mutation {number} of {name}: {content[:3000]!r}")
            raise
        counted = header["molecules"]["total"] + header["duplicates"] + header["failures"]["total"]
        assert counted == header["lines"], f"mutation {number}"
        if kind in TEXT:
            here = parts(name, content)
            changed = {text for part in set(here) - unchanged for text in candidates(name, part)}
            kept = {text for part in set(here) & unchanged for text in candidates(name, part)} & known
            assert found <= known | changed, f"mutation {number}: {found - known - changed} from nowhere"
            assert kept <= found, f"mutation {number}: {kept - found} lost"
        elif kind in ("gz", "zip"):
            assert found == known, f"mutation {number}"  # their checksums find every change
    assert refused < MUTATIONS or kind in ("gz", "zip", "parquet")


def stored(path: Path, splits: dict) -> tuple[set[str], dict]:
    """The molecules of the corpus made from a file, and its header."""
    directory = path.parent / "store"
    entry = ENTRY | splits | {"path": str(path), "max_failure_share": 1.0, "validation": 3, "test": 3}
    entry.pop("format")
    fetch("own", entry, directory)
    header = encode(directory)
    return set(pd.read_parquet(directory / "molecules.parquet")["smiles"]), header
