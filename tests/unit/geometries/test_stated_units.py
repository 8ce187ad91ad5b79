"""Units that files state beside their numbers, and what the checks could not verify."""

import ase.db
import ase.io
import ase.units as units
import h5py
import numpy as np
import pytest
from helpers.spring_molecules import ENTRY, MOLECULES, extxyz, frames, springs, stored, write_hdf5

from chemscale.errors import ChemscaleError
from chemscale.geometries.ingest import ingest
from chemscale.geometries.unit_checks import check_units
from chemscale.geometries.units import parse_unit

KCAL = units.kcal / units.mol
SILENT = {key: value for key, value in ENTRY.items() if key not in ("energy_unit", "forces_unit")}


def schnetpack_database(path):
    with ase.db.connect(path / "a.db") as database:
        for atoms in frames():
            data = {"energy": [atoms.calc.results["energy"] / KCAL], "forces": atoms.calc.results["forces"] / KCAL}
            atoms.calc = None
            database.write(atoms, data=data)
        units_of = {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}
        database.metadata = {"_property_unit_dict": units_of, "_distance_unit": "Ang", "atomrefs": {}}
    return path / "a.db", {"format": "asedb", "energy": "energy", "forces": "forces"}


def hdf5_with_attributes(path):
    write_hdf5(path / "a.h5", energy=KCAL, force=KCAL)
    with h5py.File(path / "a.h5", "a") as file:
        for name in MOLECULES:
            file[name]["e"].attrs["units"] = "kcal/mol"
            file[name]["f"].attrs["unit"] = "kcal/(mol*Angstrom)"
    return path / "a.h5", {"format": "ani1x"}


def hdf5_with_attributes_of_the_file(path):
    write_hdf5(path / "a.h5", energy=KCAL, force=KCAL)
    with h5py.File(path / "a.h5", "a") as file:
        file.attrs["energy_unit"], file.attrs["forces_unit"] = "kcal/mol", "kcal/mol/A"
    return path / "a.h5", {"format": "ani1x"}


def sgdml_archives(path):
    (path / "archives").mkdir()
    for name in MOLECULES:
        z, x, e, f = springs(name, 30)
        named = {"r_unit": "Ang", "e_unit": "kcal/mol"}
        np.savez(path / "archives" / f"{name}.npz", z=z, R=x, E=e / KCAL, F=np.asfortranarray(f / KCAL), **named)
    return path / "archives", {"format": "npz", "energy": "E", "forces": "F"}


def extxyz_with_comments(path):
    for k, atoms in enumerate(frames()):
        atoms.calc.results = {key: value / KCAL for key, value in atoms.calc.results.items()}
        atoms.info |= {"energy_unit": "kcal/mol", "forces_unit": "kcal/mol/Ang"}
        ase.io.write(path / "a.xyz", atoms, format="extxyz", append=k > 0)
    return path / "a.xyz", {"format": "extxyz", "energy": "energy", "forces": "forces"}


WRITERS = [
    schnetpack_database, hdf5_with_attributes, hdf5_with_attributes_of_the_file, sgdml_archives, extxyz_with_comments
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
def test_what_a_file_states_is_taken_and_never_contradicted(write, tmp_path):
    path, own = write(tmp_path)
    header = ingest("mine", SILENT | own, path, tmp_path / "store")
    assert header["file_units"] == {
        "length_unit": "angstrom",
        "energy_unit": "kcal/mol",
        "forces_unit": "kcal/mol/angstrom",
        "forces_are": "forces",
    }
    right = np.sort(np.concatenate([springs(name, 30)[2] for name in MOLECULES]))
    np.testing.assert_allclose(stored(tmp_path / "store")[0], right, atol=1e-4)
    message = "energy_unit = eV: the file states kcal/mol; correct the entry, or remove energy_unit from it"
    with pytest.raises(ChemscaleError, match=message):
        ingest("mine", SILENT | own | {"energy_unit": "eV"}, path, tmp_path / "store")


def test_units_that_nobody_states_are_asked_for(tmp_path):
    path, own = extxyz(tmp_path / "file")
    del own["forces_unit"]
    message = "forces_unit is missing, and the file does not state it; add one of eV/angstrom, hartree/angstrom"
    with pytest.raises(ChemscaleError, match=message):
        ingest("mine", SILENT | own, path, tmp_path / "store")


@pytest.mark.parametrize(
    ("flag", "text", "unit"),
    [
        ("length_unit", "Å", "angstrom"),
        ("length_unit", b"Bohr", "bohr"),
        ("length_unit", "a.u.", "bohr"),
        ("energy_unit", "Ha", "hartree"),
        ("energy_unit", "kcal mol^-1", "kcal/mol"),
        ("energy_unit", "kJ/mol", "kJ/mol"),
        ("forces_unit", "Ha/Bohr", "hartree/bohr"),
        ("forces_unit", "kcal mol-1 A-1", "kcal/mol/angstrom"),
        ("forces_unit", "eV per Angstrom", "eV/angstrom"),
        ("forces_unit", "kJ/(mol nm)", "kJ/mol/nm"),
        ("forces_unit", "eV/Ang^2", None),
        ("energy_unit", "eV/Ang", None),
        ("energy_unit", 1.0, None),
    ],
)
def test_spellings_of_units(flag, text, unit):
    assert parse_unit(flag, text) == unit


def rigid(path):
    """Structures far apart, without bonds to hydrogen: nothing in them shows the forces' unit or sign."""
    z, x, e, f = springs("H2O", 40)
    z = np.array([8, 9, 9])
    x = x * [[[1.5]]] + np.random.default_rng(0).normal(size=(40, 1, 1)) * 3
    np.savez(path / "a.npz", z=z, R=x[:, :, ::-1] * np.linspace(1, 1.3, 40)[:, None, None], E=e, F=f)
    return path / "a.npz"


def test_what_could_not_be_verified_is_said_everywhere(tmp_path, caplog):
    entry = SILENT | {"format": "npz", "energy": "E", "forces": "F", "unseen_molecules": 0}
    entry |= {"energy_unit": "eV", "forces_unit": "eV/angstrom"}
    header = ingest("mine", entry, rigid(tmp_path), tmp_path / "store")
    unverified = header["unit_checks"]["unverified"]
    assert {"forces_unit", "forces_are"} <= set(unverified)
    said = f"declared but not verified by the data: {', '.join(unverified)}"
    assert said in caplog.text and said in (tmp_path / "store" / "sanity.txt").read_text()


def test_a_check_that_errs_can_be_skipped_and_that_is_recorded(tmp_path, caplog):
    path = write_hdf5(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        for name in MOLECULES:
            file[name]["f"][:] *= 1.6  # a method whose C-H bonds are far too stiff
            file[name]["e"][:] -= (file[name]["e"][:].mean() - file[name]["e"][:]) * 0.6
    with pytest.raises(ChemscaleError, match=r"stiffness 1\.6"):
        ingest("mine", ENTRY, path, tmp_path / "store")
    header = ingest("mine", ENTRY | {"skip_unit_checks": ["stiffness"]}, path, tmp_path / "store")
    assert header["unit_checks"]["skipped"] == ["stiffness"]
    assert "checks skipped by the entry: stiffness" in caplog.text
    assert "checks skipped by the entry: stiffness" in (tmp_path / "store" / "sanity.txt").read_text()


@pytest.mark.parametrize(("method", "wrong"), [("wB97X/6-31G(d)", ["total"]), ("GFN2-xTB", ["valence"])])
def test_energies_are_compared_with_those_of_the_method(method, wrong):
    """All-electron energies rich in sulphur, declared kcal/mol: 23 times too small, which is near GFN2-xTB's."""
    ratios = {"work": None, "stiffness": None, "distance": 1.0, "total": 1 / 23.06, "valence": 1.2}
    declared = {"length_unit": "angstrom", "energy_unit": "kcal/mol", "forces_unit": "kcal/mol/angstrom"}
    declared["forces_are"] = "forces"
    verdict = check_units(ratios, declared, {"method": method})
    if method == "GFN2-xTB":
        assert verdict["wrong"] == []
        ratios["valence"] = 1.2 / 23.06
        verdict = check_units(ratios, declared, {"method": method})
    assert verdict["wrong"] == wrong and verdict["advice"] == ["energy_unit: eV"]
