"""Damaged and odd files of every format: the right numbers, or an error that names the file and a remedy.

CHEMSCALE_FUZZ is the number of mutations per format and kind; 10,000 take some minutes for each.
"""

import os
import random
import shutil
import warnings

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.aselmdb import rows_of, write_rows

from chemscale.errors import ChemscaleError
from chemscale.geometries.ingest import converted, ingest
from chemscale.geometries.units import FLAGS

COUNT = int(os.environ.get("CHEMSCALE_FUZZ", "40"))
FIRST = int(os.environ.get("CHEMSCALE_FUZZ_SEED", "0"))
MOLECULES = {"methane": [6, 1, 1, 1, 1], "formaldehyde": [6, 8, 1, 1]}
K = 7  # geometries of each; no molecule has as many atoms, so that no axis is taken for another
ENTRY = {
    "method": "fuzz", "energy": "energy", "forces": "forces", "energy_unit": "eV", "forces_unit": "eV/angstrom",
    "unseen_molecules": 0, "test": 1, "validation": 1, "seed": 0, "max_failure_share": 1.0,
    "skip_unit_checks": ["work", "stiffness", "distance", "total", "valence"],
}  # fmt: skip


def arrays() -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of each molecule."""
    generator = np.random.default_rng(3)
    return {
        name: {
            "numbers": np.array(z),
            "positions": np.arange(len(z))[:, None] * [1.5, 0.2, 0.1] + generator.normal(size=(K, len(z), 3)) * 0.1,
            "energy": -100 * generator.random(K),
            "forces": generator.normal(size=(K, len(z), 3)),
            "charge": np.zeros(K),
            "name": np.array([name] * K),
        }
        for name, z in MOLECULES.items()
    }


def write_hdf5(path, content):
    with h5py.File(path, "w") as file:
        for name, fields in content.items():
            for key, array in fields.items():
                text = array.dtype.kind in "UO"
                file[f"{name}/{key}"] = np.array(array.astype(str), dtype="S") if text else array


def write_npz(path, content):
    path.mkdir()
    for name, fields in content.items():
        np.savez(path / f"{name}.npz", **fields)


def frames(content):
    for fields in content.values():
        for k in range(len(fields["energy"])):
            own = {key: array[k] for key, array in fields.items() if key != "numbers"}
            atoms = ase.Atoms(fields["numbers"], own.pop("positions"))
            atoms.calc = SinglePointCalculator(atoms, energy=own.pop("energy"), forces=own.pop("forces"))
            atoms.info |= {key: value.item() for key, value in own.items()}
            yield atoms


def write_extxyz(path, content):
    ase.io.write(path, list(frames(content)), format="extxyz")


def write_traj(path, content):
    ase.io.write(path, list(frames(content)), format="traj")


def write_asedb(path, content):
    with ase.db.connect(path) as database:
        for atoms in frames(content):
            database.write(atoms, data=atoms.info)


def write_aselmdb(path, content):
    write_rows(path, rows_of(frames(content)))


def write_deepmd(path, content):
    for name, fields in content.items():
        (path / name / "set.000").mkdir(parents=True)
        (path / name / "type.raw").write_text("\n".join(str({1: 0, 6: 1, 8: 2}[z]) for z in fields["numbers"]))
        (path / name / "type_map.raw").write_text("H\nC\nO\n")
        for key, array in fields.items():
            if key != "numbers":
                np.save(path / name / "set.000" / f"{key}.npy", array, allow_pickle=array.dtype.hasobject)


FORMATS = {
    "hdf5": (write_hdf5, "a.h5"),
    "npz": (write_npz, "archives"),
    "deepmd": (write_deepmd, "systems"),
    "extxyz": (write_extxyz, "a.xyz"),
    "traj": (write_traj, "a.traj"),
    "asedb": (write_asedb, "a.db"),
    "aselmdb": (write_aselmdb, "a.aselmdb"),
}


def flip(data, dice):
    for _ in range(dice.choice([1, 1, 3, 20])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def overwrite(data, dice):
    at, size = dice.randrange(len(data)), dice.choice([1, 4, 8, 64])
    data[at : at + size] = bytes(dice.choice([0, 255, 32, dice.randrange(256)]) for _ in data[at : at + size])


def truncate(data, dice):
    del data[dice.randrange(len(data)) :]


def remove(data, dice):
    at = dice.randrange(len(data))
    del data[at : at + dice.choice([1, 2, 8, 100])]


def insert(data, dice):
    at = dice.randrange(len(data))
    data[at:at] = bytes(dice.randrange(256) for _ in range(dice.choice([1, 2, 8])))


def repeat(data, dice):
    at, size = dice.randrange(len(data)), dice.choice([1, 10, 200])
    data[at:at] = data[at : at + size]


BYTES = [flip, flip, overwrite, truncate, remove, insert, repeat]


def delete(fields, key, dice):
    del fields[key]


def rename(fields, key, dice):
    names = ["", "x/y", "total_charge", "Spin", "smiles", "e_unit", "z", "R", "é", key.upper()]
    fields[dice.choice(names)] = fields.pop(key)


def swap(fields, key, dice):
    other = dice.choice(list(fields))
    fields[key], fields[other] = fields[other], fields[key]


def retype(fields, key, dice):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        types = ["f2", "f4", ">f8", "i4", "u1", "i8", "bool", "c16", "S8", "U12", "O", "M8[s]", "longdouble"]
        fields[key] = fields[key].astype(dice.choice(types))


def reshape(fields, key, dice):
    array = fields[key]
    changes = [
        lambda: array.ravel(), lambda: array[..., None], lambda: array[None], lambda: array[:-1], lambda: array[:0],
        lambda: np.concatenate([array, array[-1:]]), lambda: array.reshape(len(array), -1), lambda: array.T,
        lambda: np.asfortranarray(array), lambda: np.array(array.flat[0]), lambda: array[..., :-1],
        lambda: np.stack([array, array]),
    ]  # fmt: skip
    fields[key] = dice.choice(changes)()


def revalue(fields, key, dice):
    array = fields[key] = fields[key].copy()
    place = dice.randrange(max(1, array.size))
    if array.dtype.kind in "iuf":
        values = [np.nan, np.inf, -1, 0, 119, 255, 256, 1e300, -1e-300, 3, 0.5]
        values = [0, 1, 119, 255] if key == "numbers" else values  # ASE writes the last element for -1
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dice.choice(values)
            if array.dtype.kind == "f" or np.isfinite(value):
                array.flat[place] = np.array(value).astype(array.dtype)
    else:
        array.flat[place] = dice.choice(
            ["", "CO", "[NH4+]", "[Na+].[Cl-]", "C" * 300, "x\0y", "é", "1", "[CH3]", "None"]
        )


def add(fields, key, dice):
    values = [
        1,
        -1,
        0,
        "1",
        "+1",
        "",
        "charged",
        None,
        np.nan,
        3,
        [1, 2],
        np.eye(3),
        "eV",
        "kcal/mol",
        "Ha/Bohr",
        "furlong",
    ]
    names = [
        "total_charge",
        "Charge",
        "spin",
        "multiplicity",
        "smiles",
        "energy_unit",
        "r_unit",
        "e_unit",
        "magmoms",
        "mol",
    ]
    fields[dice.choice(names)] = np.array(dice.choice(values))


FIELDS = [delete, rename, swap, retype, retype, reshape, reshape, revalue, revalue, add]


def read(form, path, tmp_path, full=False):
    """Return the blocks that a file gives, or its error, after the whole way to a store if `full`."""
    entry = ENTRY | {"format": form}
    facts, groups, failures = {"not_computed": 0, "dropped": {}}, [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = list(converted(entry, path, groups, failures, facts))
            if full:
                shutil.rmtree(tmp_path / "store", ignore_errors=True)
                ingest("mine", entry, path, tmp_path / "store")
    except ChemscaleError as error:
        return None, str(error), facts
    return blocks, "", facts | {"failures": len(failures)}


def require_remedy(message, path):
    assert (str(path) in message or "mine" in message) and (";" in message), message
    assert "Traceback" not in message and len(message) < 3000


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_itself_is_read(form, tmp_path):
    write, name = FORMATS[form]
    write(tmp_path / name, arrays())
    blocks, message, _ = read(form, tmp_path / name, tmp_path, full=True)
    assert not message and sum(len(block.energy) for block in blocks) == 2 * K
    require_known(blocks, [arrays()])


def require_known(blocks, contents):
    """Require that every structure is one of `contents`: its atoms, positions, energy and forces belong together."""
    for block in blocks:
        for k, energy in enumerate(block.energy):
            assert any(
                _same(block.z, fields.get("numbers", fields.get("z")), None)
                and _same(energy, fields.get("energy"), row)
                and _same(block.positions[k], fields.get("positions", fields.get("R")), row)
                and _same(block.forces[k], fields.get("forces"), row)
                for content in contents
                for fields in content.values()
                for row in range(K)
            ), (block.z, energy)


def _same(found, array, row):
    if array is None or not array.shape or (row is not None and row >= len(array)):
        return False
    try:  # ASE takes texts for numbers when frames are written
        expected = np.asarray(array if row is None else array[row]).astype(float)
    except (TypeError, ValueError):
        return False
    if np.size(found) != expected.size:
        return False  # else the same numbers in another shape: a column of energies, flat positions
    return np.allclose(found, expected.reshape(np.shape(found)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_bytes_give_the_numbers_of_the_file_or_an_error(form, tmp_path):
    write, name = FORMATS[form]
    path, keep = tmp_path / name, tmp_path / "keep" / name
    keep.parent.mkdir()
    write(keep, arrays())
    files = sorted(file for file in keep.rglob("*") if file.is_file()) if keep.is_dir() else [keep]
    original = {file: file.read_bytes() for file in files}
    outcomes = {"read": 0, "refused": 0}
    for number in range(FIRST, FIRST + COUNT):
        dice = random.Random(number)
        victim = dice.choice(files)
        data = bytearray(original[victim])
        dice.choice(BYTES)(data, dice)
        for file, content in original.items():
            target = path / file.relative_to(keep) if keep.is_dir() else path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data if file is victim else content)
        blocks, message, _ = read(form, path, tmp_path, full=number % 20 == 0)
        outcomes["refused" if blocks is None else "read"] += 1
        if blocks is None:
            require_remedy(message, path)
        else:
            for block in blocks:
                assert np.isfinite(block.energy).all() and np.isfinite(block.forces).all()
                assert ((block.z > 0) & (block.z < 119)).all() and block.positions.shape == block.forces.shape
            if form in ("npz",):  # its checksums find every change
                require_known(blocks, [arrays()])
    assert COUNT < 20 or min(outcomes.values()) > 0, outcomes


@pytest.mark.parametrize("form", FORMATS)
def test_odd_fields_give_the_right_numbers_or_an_error(form, tmp_path):
    write, name = FORMATS[form]
    path = tmp_path / name
    tried = 0
    for number in range(FIRST, FIRST + COUNT):
        dice = random.Random(number)
        content = arrays()
        for _ in range(dice.choice([1, 1, 2])):
            fields = content[dice.choice(list(content))]
            try:
                dice.choice(FIELDS)(fields, dice.choice(list(fields)), dice)
            except (TypeError, ValueError, IndexError, OverflowError, UnicodeError):
                continue
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                write(path, content)
        except Exception:  # what cannot be written cannot be read
            continue
        tried += 1
        blocks, message, _ = read(form, path, tmp_path, full=number % 20 == 0)
        if blocks is None:
            require_remedy(message, path)
        else:
            require_known(blocks, [arrays(), content])
    assert tried > COUNT // (25 if form == "aselmdb" else 4)  # JSON cannot hold most odd fields
    assert set(FLAGS) == {"length_unit", "energy_unit", "forces_unit", "forces_are"}
