"""Files made to exhaust memory or disk end in one sentence, soon and in little memory."""

import gzip
import tracemalloc
import zipfile

import pytest

from chemscale import files
from chemscale.errors import ChemscaleError
from chemscale.molecules import reading
from chemscale.molecules.bounded import MAX_LINE_BYTES
from chemscale.molecules.reading import layout_of, read_lines

LONG = 8 * MAX_LINE_BYTES


def read(path, **layout) -> int:
    return sum(1 for _ in read_lines(path, layout_of(path, **layout)))


@pytest.mark.parametrize("place", ["first", "later"])
@pytest.mark.parametrize("suffix", [".smi", ".csv", ".sdf", ".smi.gz", ".smi.zip"])
def test_a_line_without_end_is_refused_in_little_memory(tmp_path, suffix, place):
    path = tmp_path / f"bomb{suffix}"
    before = b"smiles\n" * (suffix == ".csv") + b"CCO\n" * 200 * (place == "later")
    if suffix.endswith(".gz"):
        with gzip.open(path, "wb") as file:
            file.write(before + b"C" * LONG)
    elif suffix.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.smi", before + b"C" * LONG)
    else:
        path.write_bytes(before + b"C" * LONG)
    tracemalloc.start()
    with pytest.raises(ChemscaleError, match=r"bomb\S*: a line of more than 4,194,304 bytes, which is no molecule"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < LONG
    tracemalloc.stop()


def test_the_longest_line_allowed_is_read(tmp_path):
    path = tmp_path / "long.smi"
    path.write_text("CCO " + "x" * (MAX_LINE_BYTES - 100) + "\nCCN " + "y" * (MAX_LINE_BYTES - 100) + "\r\nCC\n")
    assert read(path, form="lines") == 3


@pytest.mark.parametrize("suffix", [".smi.gz", ".smi.zip", ".parquet.zip"])
def test_a_file_that_unpacks_beyond_reason_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(files, "UNPACKED_UNASKED", 1 << 20)
    path, content = tmp_path / f"bomb{suffix}", b"CCO\n" * (1 << 19)
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"bomb{suffix.removesuffix('.zip')}", content)
    with pytest.raises(ChemscaleError, match=r"bytes unpack to [\d,]+ or more, which no real data do"):
        read(path)
    monkeypatch.setattr(files, "UNPACKED_UNASKED", 1 << 22)
    if suffix != ".parquet.zip":
        assert read(path) == 1 << 19


def test_an_sdf_without_ends_of_records_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_RECORD_LINES", 1000)
    path = tmp_path / "bomb.sdf"
    path.write_text("$$$$\n" + "line\n" * 2000)
    with pytest.raises(ChemscaleError, match=r"bomb\.sdf: record 2 has more than 1,000 lines; each record of an SDF"):
        read(path)
