"""Real files of geometries in their original formats, kept beside the checkout: what the ingest makes of them."""

import json
from pathlib import Path

import ase.units as units
import h5py
import numpy as np
import pytest
import yaml

from chemscale.errors import ChemscaleError
from chemscale.geometries.ingest import ingest
from chemscale.geometries.references import fit_references, subtract
from chemscale.geometries.store import Geometries, open_geometries

FORCES = Path(__file__).parents[3] / "shared" / "data" / "forces"
pytestmark = pytest.mark.skipif(not FORCES.exists(), reason="the files are not at ../shared/data/forces")
REGISTRY = yaml.safe_load((Path(__file__).parents[2] / "resources" / "datasets.yaml").read_text())
SMALL = {"unseen_molecules": 1, "test": 1, "validation": 1}
ANI = REGISTRY["ani-1x"] | SMALL
S66 = FORCES / "ani1x_layout_s66x8_shared44.h5"
COMP6 = FORCES / "comp6_s66x8_shared44.h5"
RMD17 = [
    f"rmd17/rmd17_{m}_{p}_01.npz" for m in ("aspirin", "ethanol", "malonaldehyde", "toluene") for p in ("train", "test")
]
FILES = {
    "layouts/ani1x_release_slice_n5.hdf5": ANI,
    "ani1x_layout_wb97x631gd_pyscf_shared.h5": ANI,
    "ani1x_layout_s66x8_shared44.h5": ANI,
    "comp6_s66x8_shared44.h5": REGISTRY["comp6"] | SMALL,
    "layouts/ani2x_minimal.hdf5": REGISTRY["ani-2x"] | SMALL,
    "layouts/SPICE-1.1.4_n2.hdf5": REGISTRY["spice"] | SMALL,
    **{file: REGISTRY["rmd17"] | SMALL | {"unseen_molecules": 0} for file in RMD17},
}


def by_energy(geometries: Geometries) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Energies, positions and forces of all structures, in the order of the energies, atoms in that of positions."""
    order = np.argsort(geometries.energy)
    atoms = [geometries.atoms(np.array([row])) for row in order]
    atoms = [a[np.lexsort(geometries.positions[a].T)] for a in atoms]
    return geometries.energy[order], [geometries.positions[a] for a in atoms], [geometries.forces[a] for a in atoms]


@pytest.mark.parametrize(
    ("file", "structures", "molecules", "elements"),
    [
        ("layouts/ani1x_release_slice_n5.hdf5", 8, 5, "HCNO"),
        ("ani1x_layout_wb97x631gd_pyscf_shared.h5", 94, 21, "HCNO"),
        ("ani1x_layout_s66x8_shared44.h5", 352, 34, "HCNO"),
        ("comp6_s66x8_shared44.h5", 352, 44, "HCNO"),
        ("layouts/ani2x_minimal.hdf5", 5706, 10, ["H", "C", "N", "O", "F", "S", "Cl"]),
        ("layouts/SPICE-1.1.4_n2.hdf5", 55, 2, ["H", "C", "N", "Na"]),
        *((file, 1000, 1, "HCO") for file in RMD17[:6]),
        *((file, 1000, 1, "HC") for file in RMD17[6:]),
    ],
)
def test_every_file_is_read_and_found_right(file, structures, molecules, elements, tmp_path):
    header = ingest("real", FILES[file], FORCES / file, tmp_path)
    assert header["structures"]["total"] == structures and header["molecules"] == molecules
    assert header["elements"] == list(elements) and header["not_computed"] == header["duplicates"] == 0
    numbers = json.loads((tmp_path / "sanity.json").read_text())["consistency"]
    assert numbers["distance"] == pytest.approx(1, abs=0.06) and numbers["total"] == pytest.approx(1, abs=0.011)
    assert numbers["work"] is None or numbers["work"] == pytest.approx(1, abs=0.14)
    assert numbers["stiffness"] is None or numbers["stiffness"] == pytest.approx(1, abs=0.13)


@pytest.mark.parametrize("file", [file for file in FILES if "slice" not in file])
@pytest.mark.parametrize("flag", ["sign", "forces", "length", "energy", "both"])
def test_a_wrong_flag_is_found_in_every_file(file, flag, tmp_path):
    """The slice of ANI-1x has eight geometries of five molecules, of which too little can be told."""
    right = FILES[file]
    units_of = {
        key: right.get(key, default) for key, default in (("length_unit", "angstrom"), ("forces_are", "forces"))
    }
    other_force = {"hartree/bohr": "hartree/angstrom", "hartree/angstrom": "hartree/bohr"}
    other_energy = {"hartree": "eV", "kcal/mol": "eV"}[right["energy_unit"]]
    wrong = {
        "sign": {"forces_are": "gradient" if units_of["forces_are"] == "forces" else "forces"},
        "forces": {"forces_unit": other_force.get(right["forces_unit"], "eV/angstrom")},
        "length": {"length_unit": "bohr" if units_of["length_unit"] == "angstrom" else "angstrom"},
        "energy": {"energy_unit": other_energy},
        "both": {"energy_unit": other_energy, "forces_unit": "eV/angstrom"},
    }[flag]
    message = "the file states|inconsistent with the data" if "SPICE" in file else "inconsistent with the data"
    with pytest.raises(ChemscaleError, match=message):
        ingest("real", right | wrong, FORCES / file, tmp_path)


def test_comp6_agrees_with_its_copy_in_the_layout_of_ani1x(tmp_path):
    """The copy holds forces, COMP6 the gradient, under the name `forces`."""
    ingest("copy", ANI, S66, tmp_path / "copy")
    ingest("comp6", FILES[COMP6.name], COMP6, tmp_path / "comp6")
    copy, comp6 = (by_energy(open_geometries(tmp_path / name)) for name in ("copy", "comp6"))
    np.testing.assert_array_equal(comp6[0], copy[0])
    for ours, theirs in zip(comp6[1] + comp6[2], copy[1] + copy[2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with h5py.File(COMP6) as file:
        first = file["s66x8/mol00/forces"][0] * -units.Hartree
        first = first[np.lexsort(file["s66x8/mol00/coordinates"][0].T)]
    assert min(np.abs(f - first).max() for f in comp6[2] if f.shape == first.shape) < 1e-6


def test_spice_is_in_bohr_hartree_and_the_gradient(tmp_path):
    ingest("spice", FILES["layouts/SPICE-1.1.4_n2.hdf5"], FORCES / "layouts/SPICE-1.1.4_n2.hdf5", tmp_path)
    geometries = open_geometries(tmp_path)
    assert json.loads((tmp_path / "groups.json").read_text())[1] == "C#C.[Na+]"
    with h5py.File(FORCES / "layouts/SPICE-1.1.4_n2.hdf5") as file:
        group = file["C#C.[Na+]"]
        energy, x, g = (group[key][2] for key in ("dft_total_energy", "conformations", "dft_total_gradient"))
    (row,) = np.flatnonzero(np.abs(geometries.energy - energy * 27.211386245988) < 1e-4)
    atoms = geometries.atoms(np.array([row]))
    np.testing.assert_allclose(geometries.positions[atoms], x * 0.529177210903, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(geometries.forces[atoms], -g * 51.422067476, rtol=1e-5, atol=1e-6)
    acetylene = geometries.positions[atoms][:4]
    assert np.linalg.norm(acetylene[0] - acetylene[1]) == pytest.approx(1.21, abs=0.03)  # Å, the triple bond


def test_rmd17_is_in_kcal_per_mol(tmp_path):
    path = FORCES / "rmd17/rmd17_ethanol_train_01.npz"
    ingest("ethanol", FILES["rmd17/rmd17_ethanol_train_01.npz"], path, tmp_path)
    geometries = open_geometries(tmp_path)
    with np.load(path) as file:
        energies, forces = file["energies"], file["forces"]
    np.testing.assert_allclose(np.sort(geometries.energy), np.sort(energies) * 0.0433641043, rtol=1e-7)
    # PBE/def2-SVP ethanol: −154.7 hartree; a molecule at 500 K has forces of an eV/Å
    assert geometries.energy.mean() / units.Hartree == pytest.approx(-154.7, abs=0.2)
    assert geometries.forces.std() == pytest.approx(forces.std() * 0.0433641043, rel=1e-5)


def test_the_genuine_slice_of_ani1x(tmp_path):
    path = FORCES / "layouts/ani1x_release_slice_n5.hdf5"
    ingest("slice", ANI, path, tmp_path)
    geometries = open_geometries(tmp_path)
    with h5py.File(path) as file:
        first = file["C1H4N4O4/wb97x_dz.energy"][0]
    assert np.abs(geometries.energy - first * units.Hartree).min() < 1e-9


@pytest.fixture(scope="module")
def gfn2(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gfn2")
    entry = ANI | {"method": "GFN2-xTB", "energy": "gfn2_xtb.energy", "forces": "gfn2_xtb.forces"}
    entry |= {"unseen_molecules": 200, "test": 4000, "validation": 1500}
    ingest("gfn2", entry, FORCES / "ani1x_layout_gfn2xtb_shared.h5", directory)
    return open_geometries(directory)


def test_fifty_thousand_geometries(gfn2):
    assert gfn2.header["structures"] == {
        "total": 52_939,
        "unseen": 2000,
        "test": 4000,
        "validation": 1500,
        "train": 45_439,
    }
    assert gfn2.header["molecules"] == 5_295 and gfn2.header["elements"] == ["H", "C", "N", "O"]
    unseen = set(gfn2.group[gfn2.rows("unseen")])
    assert len(unseen) == 200 and not unseen & set(gfn2.group[gfn2.rows("train")])
    references = fit_references(gfn2, gfn2.rows("train", 2000))
    rows = gfn2.rows("test")
    n_atoms = gfn2.n_atoms(rows)
    rest = subtract(gfn2.energy[rows], references, gfn2.z[gfn2.atoms(rows)], n_atoms)
    assert np.abs(rest / n_atoms).mean() < 0.1  # eV per atom, of some 42 before


def test_labels_made_again_are_those_of_the_file(gfn2):
    remade = json.loads((gfn2.directory / "sanity.json").read_text())["remade"]
    assert remade["structures"] == 4 and remade["energy"] < 1e-4 and remade["forces"] < 1e-3  # eV, eV/Å
    assert remade["difference"] < 5e-3


@pytest.mark.parametrize("size", [500, 5000, 20_000])
def test_subsets_keep_the_mix_of_molecules(gfn2, size):
    """A prefix of the training structures is a random sample of them: shares of molecules and of elements agree."""
    train = gfn2.rows("train")
    molecules = gfn2.group.max() + 1
    whole = np.bincount(gfn2.group[train], minlength=molecules) / len(train)
    part = np.bincount(gfn2.group[train[:size]], minlength=molecules)
    seen = whole > 0
    # Pearson's statistic of a sample without replacement, one degree of freedom a molecule: mean 1, deviation √(2/n)
    left = 1 - size / len(train)
    chi = ((part[seen] - size * whole[seen]) ** 2 / (size * whole[seen])).sum() / left / (seen.sum() - 1)
    assert abs(chi - 1) < 5 * np.sqrt(2 / seen.sum())
    z = [np.bincount(gfn2.z[gfn2.atoms(rows)], minlength=9) for rows in (train, train[:size])]
    np.testing.assert_allclose(z[1] / z[1].sum(), z[0] / z[0].sum(), atol=0.15 / np.sqrt(size))
