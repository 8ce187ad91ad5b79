"""Reader of NumPy archives of one molecule each, as MD17 and rMD17 are published, also of several in a tar."""

import lzma
import math
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from chemscale.errors import ChemscaleError
from chemscale.files import require_plausible_size
from chemscale.geometries.formats.arrays import blocks_of_arrays
from chemscale.geometries.formats.block import Labelled, damaged

DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError, EOFError, OSError, ValueError, RuntimeError
)  # fmt: skip
MAX_BYTES_IN_MEMORY = 1 << 20  # of an array; larger ones are memory-mapped


def read_npz(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a .npz, of every .npz in a (compressed) tar, or of the .npy of a folder.

    Each archive is one molecule, named as its file, unless an array names molecules. Raises ChemscaleError.
    """
    if path.is_dir():
        try:
            arrays = {file.stem: open_npy(str(file), file) for file in sorted(path.glob("*.npy"))}
            yield from blocks_of_arrays(str(path), arrays, entry, name=path.name)
        except DAMAGED as error:
            raise damaged(str(path), error) from None
    elif zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            yield from _archive(str(path), path.stem, file, entry)
    elif tarfile.is_tarfile(path):
        yield from _tar(path, entry)
    elif path.suffix == ".npy":
        raise ChemscaleError(
            f"{path}: a single array; expected an archive of all arrays (np.savez), or the folder that holds their .npy"
        )
    else:
        raise ChemscaleError(f"{path}: not a readable .npz or tar of .npz; fetch it again")


def _tar(path: Path, entry: dict) -> Iterator[Labelled]:
    found, unpacked = False, 0
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if not (member.isfile() and member.name.endswith(".npz")):
                    continue
                found = True
                unpacked += member.size
                require_plausible_size(path, unpacked, path.stat().st_size)
                with TemporaryFile() as file:  # reading an archive seeks, which is slow in a compressed tar
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    shutil.copyfileobj(content, file, 1 << 22)
                    yield from _archive(f"{path}: {member.name}", Path(member.name).stem, file, entry)
    except DAMAGED as error:
        raise damaged(str(path), error) from None
    if not found:
        raise ChemscaleError(f"{path}: the tar contains no .npz; check the file")


def _archive(where: str, name: str, file: IO[bytes], entry: dict) -> Iterator[Labelled]:
    with TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                arrays = _Members(where, archive, Path(folder))
                yield from blocks_of_arrays(where, arrays, entry, name=name)
        except DAMAGED as error:
            raise damaged(where, error) from None


class _Members(Mapping):
    """The arrays of an archive, each unpacked to a file and memory-mapped when it is first used."""

    def __init__(self, where: str, archive: zipfile.ZipFile, folder: Path):
        self.where, self.archive, self.folder = where, archive, folder
        self.names = [name.removesuffix(".npy") for name in archive.namelist()]
        self.open: dict[str, np.ndarray] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.open:
            path = self.folder / f"{len(self.open)}.npy"
            info = self.archive.getinfo(f"{name}.npy")
            require_plausible_size(f"{self.where}/{name}", info.file_size, info.compress_size)
            with self.archive.open(info) as member, open(path, "wb") as file:
                shutil.copyfileobj(member, file, 1 << 22)
            self.open[name] = open_npy(f"{self.where}/{name}", path)
        return self.open[name]


def open_npy(where: str, path: Path) -> np.ndarray:
    """Return the array of a .npy, memory-mapped unless it is small; raise ChemscaleError for a pickle."""
    with open(path, "rb") as file:
        try:
            version = npy.read_magic(file)
            shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
        except Exception as error:  # of the parser of Python
            raise ValueError(f"{where}: no header of a .npy, {error}") from None
        missing = math.prod(shape) * dtype.itemsize - (path.stat().st_size - file.tell())
    if dtype.hasobject:
        raise ChemscaleError(
            f"{where}: an array of Python objects, which is never loaded because it can run code; save texts as "
            "np.array(values, dtype=str), numbers as an array of numbers"
        )
    if missing > 0:
        raise EOFError(f"{where}: {missing:,} bytes are missing")
    return np.load(path, mmap_mode="r" if path.stat().st_size > MAX_BYTES_IN_MEMORY else None)
