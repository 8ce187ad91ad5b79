"""Reader of NumPy archives of one molecule each, as MD17 and rMD17 are published; also of several in one tar."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from chemscale.errors import ChemscaleError
from chemscale.geometries.charge_spin import ENTRY_KEYS, read_charge_spin
from chemscale.geometries.formats.block import Labelled, elements, require_shapes, slices

Z = ("nuclear_charges", "z", "numbers", "atomic_numbers")  # (A,)
POSITIONS = ("coords", "R", "positions", "coordinates")  # (K, A, 3)


def read_npz(path: Path, entry: dict) -> Iterator[Labelled]:
    """Yield the blocks of a .npz, or of every .npz in a (compressed) tar; each is one molecule, named as its file.

    The entry names the arrays of `energy` (K,) or (K, 1) and `forces` (K, A, 3). Raises ChemscaleError.
    """
    if zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            yield from _archive(f"{path}", path.stem, file, entry)
    elif tarfile.is_tarfile(path):
        found = False
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.name.endswith(".npz"):
                    continue
                found = True
                with TemporaryFile() as file:  # reading an archive seeks, which is slow in a compressed tar
                    content = tar.extractfile(member)
                    while part := content.read(1 << 22):
                        file.write(part)
                    yield from _archive(f"{path}: {member.name}", Path(member.name).stem, file, entry)
        if not found:
            raise ChemscaleError(f"{path}: the tar contains no .npz; check the file")
    else:
        raise ChemscaleError(f"{path}: not a readable .npz or tar of .npz; fetch it again")


def _archive(where: str, molecule: str, file: BinaryIO, entry: dict) -> Iterator[Labelled]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            keys = [_one_of(where, names, Z), _one_of(where, names, POSITIONS)]
            keys += [_one_of(where, names, (entry[key],)) for key in ("energy", "forces")]
            with archive.open(f"{keys[0]}.npy") as member:
                z = elements(where, npy.read_array(member, allow_pickle=False))
            streams = [archive.open(f"{key}.npy") for key in keys[1:]]
            headers = [_header(where, key, stream) for key, stream in zip(keys[1:], streams, strict=True)]
            count = headers[0][0][0] if headers[0][0] else 0
            energy_shape = headers[1][0]
            each = (count, len(z), 3)
            expected = (each, (count, 1) if len(energy_shape) == 2 else (count,), each)
            found = [(key, shape, want) for key, (shape, _), want in zip(keys[1:], headers, expected, strict=True)]
            require_shapes(where, [(keys[0], z.shape, (len(z),)), *found])
            charge_spin = read_charge_spin(where, entry, _small(archive, names, entry), count)
            for part in slices(count, len(z)):
                k = min(part.stop, count) - part.start
                positions, energy, forces = (
                    _rows(stream, k, *header) for stream, header in zip(streams, headers, strict=True)
                )
                own = {key: n[part] for key, n in charge_spin.items()}
                yield Labelled(z, positions, energy.reshape(k), forces, [molecule] * k, where, own)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ChemscaleError(f"{where}: damaged ({error}); fetch the file again") from None


def _small(archive: zipfile.ZipFile, names: list[str], entry: dict) -> dict:
    """Return the arrays by name: those of charge and spin that the entry names, None for others."""
    arrays = dict.fromkeys(names)
    for name in {entry.get(key) for key in ENTRY_KEYS} & set(names):
        with archive.open(f"{name}.npy") as member:
            arrays[name] = npy.read_array(member, allow_pickle=False)
    return arrays


def _one_of(where: str, names: list[str], wanted: tuple[str, ...]) -> str:
    found = [name for name in wanted if name in names]
    if not found:
        raise ChemscaleError(f"{where}: no array {' or '.join(map(repr, wanted))}; it has {', '.join(names)}")
    return found[0]


def _header(where: str, key: str, stream: BinaryIO) -> tuple[tuple, np.dtype]:
    """Return shape and type of an array; its data follow in the stream."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if fortran or dtype.hasobject or dtype.kind not in "fiu":
        raise ChemscaleError(f"{where}/{key}: not an array of numbers in C order; save it with np.ascontiguousarray")
    return shape, dtype


def _rows(stream: BinaryIO, count: int, shape: tuple, dtype: np.dtype) -> np.ndarray:
    """Return the next `count` rows."""
    size = int(np.prod(shape[1:], dtype=int)) * dtype.itemsize * count
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"{size - len(data):,} bytes are missing")
    return np.frombuffer(data, dtype).reshape(count, *shape[1:])
