"""Files of geometries in every format, and what may be wrong with them."""

import json
import sys
import tarfile
from types import SimpleNamespace

import ase.io
import ase.units as units
import h5py
import numpy as np
import pandas as pd
import pytest
from helpers.spring_molecules import (
    ENTRY,
    MOLECULES,
    ani,
    asedb,
    comp6,
    extxyz,
    frames,
    spice,
    springs,
    stored,
    write_ani2x,
)

from chemscale.errors import ChemscaleError
from chemscale.geometries.formats import FORMATS, Format
from chemscale.geometries.formats.block import Labelled
from chemscale.geometries.ingest import ingest
from chemscale.geometries.store import open_geometries


@pytest.fixture
def right(tmp_path):
    """Energies and forces as they should be stored."""
    made = [springs(name, 30) for name in MOLECULES]
    energy = np.concatenate([e for _, _, e, _ in made])
    forces = [f for _, _, _, forces in made for f in forces]
    order = np.argsort(energy)
    return energy[order], np.concatenate([forces[k] for k in order])


@pytest.mark.parametrize("write", [ani, comp6, spice, extxyz, asedb])
def test_one_store_from_every_format(write, tmp_path, right):
    path, own = write(tmp_path / "file")
    header = ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert header["structures"] == {"total": 60, "unseen": 30, "test": 4, "validation": 4, "train": 22}
    assert header["duplicates"] == header["not_computed"] == 0 and header["elements"] == ["H", "C", "O"]
    energy, forces = stored(tmp_path / "store")
    np.testing.assert_allclose(energy, right[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(forces, right[1], atol=1e-5)
    names = json.loads((tmp_path / "store" / "groups.json").read_text())
    assert names == (
        {"spice": ["C", "O"], "comp6": ["set/inner/CH4", "set/inner/H2O"]}.get(own.get("format"), ["CH4", "H2O"])
    )


@pytest.mark.parametrize("column", [True, False])
def test_a_trajectory_in_an_archive_or_in_a_tar(tmp_path, column):
    z, x, e, f = springs("CH4", 30)
    e = e[:, None] if column else e  # as MD17 has it
    np.savez(tmp_path / "methane.npz", z=z, R=x, E=e / (units.kcal / units.mol), F=f / (units.kcal / units.mol))
    with tarfile.open(tmp_path / "all.tar.bz2", "w:bz2") as tar:
        tar.add(tmp_path / "methane.npz", "data/methane.npz")
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
    entry |= {"energy_unit": "kcal/mol", "forces_unit": "kcal/mol/angstrom"}
    made = [ingest("md", entry, tmp_path / file, tmp_path / "store") for file in ("methane.npz", "all.tar.bz2")]
    assert made[0]["fingerprint"] == made[1]["fingerprint"] and made[0]["structures"]["train"] == 22
    np.testing.assert_allclose(stored(tmp_path / "store")[0], np.sort(e.ravel()), atol=1e-6)


NPZ = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
NPZ |= {"energy_unit": "eV", "forces_unit": "eV/angstrom"}


def trajectory(path):
    z, x, e, f = springs("CH4", 30)
    np.savez(path, z=z, R=x, E=e, F=f)
    return path


def pretend(tar, name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    tar.addfile(member)


def test_only_regular_files_of_a_tar_are_read(tmp_path):
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        pretend(tar, "passwd.npz", tarfile.SYMTYPE, "/etc/passwd")
        pretend(tar, "hard.npz", tarfile.LNKTYPE, "/etc/passwd")
        pretend(tar, "fifo.npz", tarfile.FIFOTYPE)
        pretend(tar, "folder.npz", tarfile.DIRTYPE)
        pretend(tar, "device.npz", tarfile.CHRTYPE)
    with pytest.raises(ChemscaleError, match=r"all\.tar: the tar contains no \.npz; check the file"):
        ingest("md", NPZ, tmp_path / "all.tar", tmp_path / "store")
    with tarfile.open(tmp_path / "all.tar", "a") as tar:
        tar.add(trajectory(tmp_path / "methane.npz"), "../../methane.npz")
    assert ingest("md", NPZ, tmp_path / "all.tar", tmp_path / "store")["structures"]["train"] == 22
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tar", "methane.npz", "store"]


@pytest.mark.parametrize("packed", ["tar", "npz"])
def test_an_archive_that_unpacks_beyond_reason_is_refused(tmp_path, monkeypatch, packed):
    monkeypatch.setattr("chemscale.files.UNPACKED_UNASKED", 1 << 20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, z=[6], R=np.zeros((100_000, 1, 3)), E=np.zeros(100_000), F=np.zeros((100_000, 1, 3)))
    if packed == "tar":
        np.savez(path, z=[6], R=np.zeros((100_000, 1, 3)), E=np.zeros(100_000), F=np.zeros((100_000, 1, 3)))
        with tarfile.open(tmp_path / "bomb.tar.bz2", "w:bz2") as tar:
            tar.add(path, "bomb.npz")
        path = tmp_path / "bomb.tar.bz2"
    with pytest.raises(ChemscaleError, match=r"bytes unpack to [\d,]+ or more, which no real data do"):
        ingest("md", NPZ, path, tmp_path / "store")


def test_spellings_of_a_molecule_are_one_molecule(tmp_path):
    """Else the frames of a molecule that is held out would be in train under another name."""
    path, names = tmp_path / "a.xyz", ["O", "[OH2]", "[H]O[H]", "[H:1][O:2][H:3]"]
    images = list(frames())
    for number, atoms in enumerate(images):
        atoms.info["smiles"] = names[number % 4] if len(atoms) == 3 else "[CH4]"
    ase.io.write(path, images, format="extxyz")
    header = ingest("own", ENTRY | extxyz(tmp_path / "b.xyz")[1], path, tmp_path / "store")
    assert json.loads((tmp_path / "store" / "groups.json").read_text()) == ["C", "O"] and header["molecules"] == 2


def test_groups_of_one_size_hold_molecules_by_formula(tmp_path):
    entry = ENTRY | {"format": "ani2x", "unseen_molecules": 0}
    header = ingest("sizes", entry, write_ani2x(tmp_path / "ani2x.h5"), tmp_path / "store")
    assert header["structures"]["total"] == 40 and header["molecules"] == 1
    assert json.loads((tmp_path / "store" / "groups.json").read_text()) == ["H2O1"]
    geometries = open_geometries(tmp_path / "store")
    oxygen = geometries.z.reshape(40, 3).argmax(1)
    assert sorted(set(oxygen)) == [0, 1]  # every structure keeps its own order of atoms
    forces = geometries.forces.reshape(40, 3, 3)[np.arange(40), oxygen]
    assert np.abs(forces.std() - springs("H2O", 40)[3][:, 0].std()) < 1e-6


def test_blocks_of_bounded_size_make_the_same_store(tmp_path, monkeypatch):
    path, own = comp6(tmp_path / "file")
    whole = ingest("mine", ENTRY | own, path, tmp_path / "whole")
    monkeypatch.setattr("chemscale.geometries.formats.block.BLOCK_ATOMS", 12)
    assert max(len(block.energy) for block in FORMATS["comp6"].read(path, ENTRY | own)) == 4
    assert ingest("mine", ENTRY | own, path, tmp_path / "parts")["fingerprint"] == whole["fingerprint"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"forces_are": "gradient"}, "work -.*try forces_are: forces;"),
        ({"forces_unit": "hartree/bohr"}, "work 0.5.*try forces_unit: hartree/angstrom;"),
        ({"forces_unit": "eV/angstrom"}, "work 27.*try forces_unit: hartree/angstrom;"),
        ({"length_unit": "bohr"}, "distance 0.5.*try length_unit: angstrom;"),
        ({"energy_unit": "kcal/mol"}, "work 0.00.*total 0.00.*try energy_unit: hartree;"),
        (
            {"energy_unit": "eV", "forces_unit": "eV/angstrom"},
            "stiffness 0.03.*try energy_unit: hartree with forces_unit: hartree/angstrom;",
        ),
    ],
)
def test_flags_that_cannot_be_are_refused_with_those_that_can(tmp_path, flags, said):
    path, _ = ani(tmp_path / "ani.h5")
    with pytest.raises(ChemscaleError, match=f"mine: .*ani.h5: .*: inconsistent with the data, .*{said}"):
        ingest("mine", ENTRY | flags, path, tmp_path / "store")
    assert not (tmp_path / "store" / "geometries.json").exists() and not (tmp_path / "store" / "parts").exists()
    assert json.loads((tmp_path / "store" / "sanity.json").read_text())["structures"] == 60


def test_labels_that_do_not_belong_to_the_geometries(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        for name in MOLECULES:
            file[name]["f"][:] = np.abs(file[name]["f"][:]) * np.sign(file[name]["coordinates"][:])
    with pytest.raises(ChemscaleError, match="no other units or sign would agree"):
        ingest("mine", ENTRY, path, tmp_path / "store")


def test_a_unit_the_file_states_itself(tmp_path):
    path, own = spice(tmp_path / "spice.h5")
    message = "CH4: length_unit = angstrom: the file states bohr; correct the entry"
    with pytest.raises(ChemscaleError, match=message):
        ingest("mine", ENTRY | own | {"length_unit": "angstrom"}, path, tmp_path / "store")


def test_what_was_not_computed_is_left_out_and_counted(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        file["CH4/e"][1] = np.nan
        file["CH4/f"][2, 0, 0] = np.nan
        file["H2O"]["smiles"] = np.array([b"O"] * 10 + [b"[18OH2]"] * 20)
    header = ingest("mine", ENTRY, path, tmp_path / "store")
    assert header["structures"]["total"] == 58 and header["not_computed"] == 2 and header["molecules"] == 3
    text = (tmp_path / "store" / "sanity.txt").read_text()
    assert "58 structures of 3 molecules" in text and "not computed 2, duplicates dropped 0" in text


def test_overlapping_atoms_and_lost_positions_are_refused_and_kept_with_the_reason(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    with h5py.File(path, "a") as file:
        file["CH4/coordinates"][3, 1] = file["CH4/coordinates"][3, 2] + [0.2, 0.2, 0.2]
        file["H2O/coordinates"][7, 0, 0] = np.nan
    header = ingest("mine", ENTRY, path, tmp_path / "store")
    assert header["structures"]["total"] == 58 and header["failures"] == {"geometries": 2, "share": 2 / 60}
    rows = pd.read_parquet(tmp_path / "store" / "failures.parquet").to_dict("records")
    assert [(row["smiles"], row["geometry"], row["reason"]) for row in rows] == [
        ("CH4", 4, "atoms closer than 0.4 Å"),
        ("H2O", 8, "positions not finite"),
    ]
    with pytest.raises(ChemscaleError, match=r"max_failure_share = 0.01: 2 of 60 geometries failed: .*; see"):
        ingest("mine", ENTRY | {"max_failure_share": 0.01}, path, tmp_path / "store")


def test_equal_geometries_are_kept_once(tmp_path):
    path, _ = ani(tmp_path / "ani.h5")
    before = ingest("mine", ENTRY, path, tmp_path / "before")
    with h5py.File(path, "a") as file:
        for key in ("coordinates", "e", "f"):
            values = file["H2O"][key][:]
            del file["H2O"][key]
            file["H2O"][key] = np.concatenate([values, values[:5]])
    after = ingest("mine", ENTRY, path, tmp_path / "after")
    assert after["duplicates"] == 5 and after["structures"]["total"] == 60
    assert after["fingerprint"] == before["fingerprint"]


def read_text(path, entry):
    """The reader of a format that lies outside the package: one water molecule per line of nine coordinates in Å."""
    positions = np.loadtxt(path).reshape(-1, 3, 3)
    count = len(positions)
    labels = positions, np.zeros(count), np.zeros((count, 3, 3))
    yield Labelled(springs("H2O", 1)[0], *labels, ["O"] * count, str(path), np.arange(count))


def test_a_format_is_a_reader_and_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "text", Format("text", f"{__name__}:read_text", "coordinates of water", "all"))
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(read_text=read_text))
    np.savetxt(tmp_path / "water.txt", springs("H2O", 20)[1].reshape(20, 9))
    entry = ENTRY | {"format": "text", "unseen_molecules": 0}
    header = ingest("water", entry, tmp_path / "water.txt", tmp_path / "store")
    assert header["structures"]["total"] == 20 and header["elements"] == ["H", "O"]
