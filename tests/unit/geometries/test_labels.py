"""Thermal geometries and their GFN2-xTB labels."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import ase.units as units
import numpy as np
import pandas as pd
import pytest
from tblite.interface import TBLiteRuntimeError

from chemscale.errors import ChemscaleError
from chemscale.geometries import labels, normal_modes
from chemscale.geometries.langevin import STEPS_BETWEEN, langevin_geometries
from chemscale.geometries.store import open_geometries
from chemscale.molecules import embedded

ENTRY = {
    "arm": "potential",
    "source": "thermal",
    "method": "GFN2-xTB",
    "max_heavy_atoms": 4,
    "molecules": 5,
    "conformers": 3,
    "geometries_per_molecule": 8,
    "temperature": [50, 1000],
    "unseen_molecules": 1,
    "validation": 4,
    "test": 6,
    "seed": 0,
    "max_failure_share": 0.05,
}
ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("thermal")
    return directory, labels.label("small", ENTRY, directory, workers=2)


def test_header_counts_what_was_made(made):
    directory, header = made
    assert header["structures"] == {"total": 40, "unseen": 8, "test": 6, "validation": 4, "train": 22}
    assert header["molecules"] == 5 and header["failures"]["geometries"] == 0
    geometries = open_geometries(directory)
    assert len(geometries.z) == header["atoms"] == len(geometries.positions)
    assert set(geometries.z) <= {1, 6, 7, 8}
    smiles = json.loads((directory / "groups.json").read_text())
    assert smiles == embedded.small_molecules(4, 5) and len(smiles) == 5


def test_stored_labels_are_those_of_the_stored_geometries(made):
    geometries = open_geometries(made[0])
    for row in geometries.rows("train", 3):
        atoms = geometries.atoms(np.array([row]))
        energy, forces = labels.single_point(geometries.z[atoms], geometries.positions[atoms].astype(float))
        # positions are stored in float32: 1e-7 Å of rounding against some 50 eV/Å² of curvature
        assert geometries.energy[row] == pytest.approx(energy, abs=1e-4)
        np.testing.assert_allclose(geometries.forces[atoms], forces, atol=1e-4)


def test_same_bytes_whatever_the_number_of_workers(made, tmp_path):
    header = labels.label("small", ENTRY, tmp_path, workers=1)
    assert header["fingerprint"] == made[1]["fingerprint"]


def test_a_seed_changes_the_geometries_of_a_molecule():
    block, _ = labels.label_molecule((ENTRY, 0, "CCO"))
    again, _ = labels.label_molecule((ENTRY, 0, "CCO"))
    other, _ = labels.label_molecule(({**ENTRY, "seed": 1}, 0, "CCO"))
    np.testing.assert_array_equal(block.positions, again.positions)
    assert np.abs(block.positions - other.positions).max() > 0.05


def test_xtb_forces_are_the_negative_gradient_of_its_energy():
    z, (positions,) = normal_modes.thermal_geometries("CCO", 1, 1, (500, 500), np.random.default_rng(0))
    np.testing.assert_array_equal(z, ETHANOL)
    _, forces = labels.single_point(z, positions)
    h = 1e-3  # Å
    for atom, axis in [(0, 0), (2, 1), (5, 2), (8, 0)]:
        step = np.zeros_like(positions)
        step[atom, axis] = h
        difference = labels.single_point(z, positions + step)[0] - labels.single_point(z, positions - step)[0]
        assert forces[atom, axis] == pytest.approx(-difference / (2 * h), abs=5e-4)
    assert np.abs(forces).max() > 0.5
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-6)


def test_a_molecule_that_cannot_be_made_is_kept_with_its_reason(monkeypatch, tmp_path):
    # boron: MMFF94 has no parameters for it
    monkeypatch.setattr(embedded, "small_molecules", lambda *_: ["CCO", "CB(C)C", "CO", "CN", "NN"])
    with pytest.raises(ChemscaleError, match=r"8 of 40 geometries failed.*no MMFF94 parameters"):
        labels.label("small", ENTRY, tmp_path, workers=1)
    assert not (tmp_path / "geometries.json").exists()
    header = labels.label("small", {**ENTRY, "max_failure_share": 0.2}, tmp_path, workers=1)
    assert header["structures"]["total"] == 32 and header["failures"] == {"geometries": 8, "share": 0.2}
    (row,) = pd.read_parquet(tmp_path / "failures.parquet").to_dict("records")
    assert (row["molecule"], row["smiles"], row["geometries"]) == (1, "CB(C)C", 8)
    assert row["reason"] == "no MMFF94 parameters"


def test_a_single_point_that_does_not_converge_is_kept_with_its_reason(monkeypatch):
    single_point, calls = labels.single_point, []

    def third_fails(z, positions):
        calls.append(None)
        if len(calls) == 3:
            raise TBLiteRuntimeError("SCF not converged in 250 cycles")
        return single_point(z, positions)

    monkeypatch.setattr(labels, "single_point", third_fails)
    block, failures = labels.label_molecule((ENTRY, 7, "CO"))
    assert block.positions.shape == block.forces.shape == (7, 6, 3) and len(block.energy) == 7
    assert failures == [
        {
            "molecule": 7,
            "smiles": "CO",
            "geometry": 2,
            "geometries": 1,
            "reason": "GFN2-xTB: SCF not converged in 250 cycles",
        }
    ]


@pytest.mark.parametrize("displacement", ["normal_modes", "langevin"])
def test_ions_and_radicals_are_failures_unless_the_entry_takes_them(tmp_path, displacement):
    entry = ENTRY | {"smiles": ["C", "[NH4+]", "[CH3]"], "displacement": displacement, "geometries_per_molecule": 3}
    entry |= {"training_structures": 0, "max_failure_share": 1.0}
    header = labels.label("ions", entry, tmp_path / "neutral", workers=1)
    assert header["structures"]["total"] == 3 and "structures_with_charge" not in header
    failures = pd.read_parquet(tmp_path / "neutral" / "failures.parquet")
    assert failures["reason"].tolist() == ["charged", "radical"]
    header = labels.label("ions", entry | {"charge": "smiles"}, tmp_path / "ions", workers=1)
    assert header["structures"]["total"] == 9
    assert (header["structures_with_charge"], header["structures_with_unpaired"]) == (3, 3)
    remade = json.loads((tmp_path / "ions" / "sanity.json").read_text())["remade"]
    assert remade["energy"] < 1e-4 and remade["forces"] < 1e-3


def test_xtb_does_raise_what_label_molecule_catches():
    apart = np.array([[0, 0, 0], [30, 0, 0], [60, 0, 0], [90, 0, 0]])  # Å
    with pytest.raises(TBLiteRuntimeError, match="SCF not converged"):
        labels.single_point(np.array([6, 6, 8, 8]), apart)


def test_more_molecules_than_there_are(tmp_path):
    with pytest.raises(ChemscaleError, match=r"small\.molecules = 1000: .* has only 17 of 1 to 4 heavy atoms"):
        labels.label("small", {**ENTRY, "molecules": 1000}, tmp_path, workers=1)


def test_mmff_hessian_is_the_derivative_of_the_gradient_after_a_move():
    molecule = normal_modes.conformers("CCO", 1, seed=1)
    positions = molecule.GetConformer().GetPositions()
    assert np.abs(normal_modes.mmff_gradient(molecule, positions)).max() < 1e-2  # a minimum
    hessian = normal_modes.mmff_hessian(molecule, positions)
    move = np.random.default_rng(0).normal(size=positions.shape) * 1e-3
    change = normal_modes.mmff_gradient(molecule, positions + move) - normal_modes.mmff_gradient(
        molecule, positions - move
    )
    np.testing.assert_allclose(change / 2, hessian @ move.ravel(), atol=2e-4)
    shifts = np.tile(np.eye(3), (len(positions), 1))
    np.testing.assert_allclose(hessian @ shifts, 0, atol=1e-2)


@pytest.mark.parametrize(("smiles", "vibrations"), [("CCO", 21), ("C#N", 4), ("C", 9)])
def test_vibrations_are_all_but_the_rigid_motions(smiles, vibrations):
    molecule = normal_modes.conformers(smiles, 1, seed=1)
    positions = molecule.GetConformer().GetPositions()
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])
    hessian = normal_modes.mmff_hessian(molecule, positions)
    eigenvalues, modes = normal_modes.normal_modes(hessian, positions, masses)
    assert len(eigenvalues) == vibrations and eigenvalues.min() > 0
    np.testing.assert_allclose(np.einsum("vax,a->vx", modes, masses), 0, atol=1e-8)  # the centre of mass stays
    gram = np.einsum("vax,wax,a->vw", modes, modes, masses)
    np.testing.assert_allclose(gram, np.eye(vibrations), atol=1e-8)
    # stretches of hydrogen lie where infrared spectra have them
    assert 2800 < np.sqrt(eigenvalues.max()) * normal_modes.UNIT_WAVENUMBER < 3900


def test_displacements_have_the_thermal_energy_of_the_harmonic_ensemble():
    # half kT a mode, as long as no mode is softer than the softest
    stiffness = np.array([20.0, 50.0, 80.0])  # eV/(Å² amu): above 350 cm⁻¹
    assert np.sqrt(stiffness.min()) * normal_modes.UNIT_WAVENUMBER > normal_modes.MIN_WAVENUMBER
    modes = np.eye(9)[:3].reshape(3, 3, 3)  # unit masses
    generator = np.random.default_rng(0)
    q = np.array([normal_modes.displacement(stiffness, modes, 300.0, generator).ravel()[:3] for _ in range(20_000)])
    energies = (0.5 * stiffness * q**2).mean(0)
    np.testing.assert_allclose(energies, 0.5 * units.kB * 300.0, rtol=0.04)
    # a softer one gets the amplitude of one of 350 cm⁻¹
    floor = (normal_modes.MIN_WAVENUMBER / normal_modes.UNIT_WAVENUMBER) ** 2
    soft = [normal_modes.displacement(stiffness * 1e-6, modes, 300.0, generator).ravel()[0] for _ in range(20_000)]
    assert np.var(soft) == pytest.approx(units.kB * 300.0 / floor, rel=0.04)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A labelling that was killed after its first molecules."""
    directory = tmp_path_factory.mktemp("killed")
    code = "from chemscale.cli import main; main()"
    command = [sys.executable, "-c", code, "label", "small", "-", "--out", str(directory), "--workers", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    # slow enough to be caught in the middle
    process.stdin.write(json.dumps({**ENTRY, "geometries_per_molecule": 60}).encode())
    process.stdin.close()
    while process.poll() is None and not (directory / "shards" / "000000.npz").exists():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (directory / "geometries.json").exists()
    return directory


def test_a_killed_labelling_goes_on_to_the_same_bytes(killed, tmp_path):
    entry = {**ENTRY, "geometries_per_molecule": 60}
    before = labels.label("small", entry, tmp_path / "whole", workers=1)
    directory = shutil.copytree(killed, tmp_path / "again")
    assert labels.label("small", entry, directory, workers=2)["fingerprint"] == before["fingerprint"]
    assert not (directory / "shards").exists()


def test_finished_molecules_are_not_labelled_again(killed, tmp_path, monkeypatch):
    directory = shutil.copytree(killed, tmp_path / "again")
    entry = {**ENTRY, "geometries_per_molecule": 60}
    finished = {int(path.stem) for path in (directory / "shards").glob("[0-9]*.npz")}
    assert 0 < len(finished) < 5
    labelled = []

    def counted(task):
        labelled.append(task[1])
        return label_molecule(task)

    label_molecule = labels.label_molecule
    monkeypatch.setattr(labels, "label_molecule", counted)
    with pytest.raises(ChemscaleError, match="no structures left for training"):
        labels.label("small", {**entry, "test": 10_000}, directory, workers=1)
    assert set(labelled) == set(range(5)) - finished
    # what does not decide the labels may be mended, and nothing is labelled again; what does may not
    assert labels.label("small", entry, directory, workers=1)["structures"]["total"] == 300
    assert len(labelled) == 5 - len(finished)
    labels.label("small", {**ENTRY, "seed": 1}, directory, workers=1)
    assert len(labelled) == 10 - len(finished)


def test_molecules_of_ones_own(tmp_path):
    own = tmp_path / "own.smi"
    own.write_text("OCC ethanol\nCO\nC-O twice\nN\nnonsense\n[Na+]\n[CH3]\nCC.O\n")
    entry = {**ENTRY, "path": str(own), "geometries_per_molecule": 2, "test": 1, "validation": 1}
    del entry["molecules"], entry["max_heavy_atoms"]
    header = labels.label("own", entry | {"max_failure_share": 0.6}, tmp_path / "own", workers=1)
    names = json.loads((tmp_path / "own" / "groups.json").read_text())
    assert names == ["CCO", "CO", "N", "nonsense", "[Na+]", "[CH3]", "CC.O"]
    assert header["structures"]["total"] == 6 and header["failures"]["geometries"] == 8
    reasons = pd.read_parquet(tmp_path / "own" / "failures.parquet")["reason"].tolist()
    assert reasons == ["not a SMILES", "charged", "radical", "more than one molecule"]
    listed = {key: value for key, value in entry.items() if key != "path"} | {"smiles": ["CCO", "CO", "N"]}
    assert labels.label("own", listed, tmp_path / "listed", workers=1)["fingerprint"] == header["fingerprint"]
    with pytest.raises(ChemscaleError, match=r"own\.path = 'absent\.smi': no such file"):
        labels.label("own", entry | {"path": "absent.smi"}, tmp_path / "absent", workers=1)


def test_langevin_geometries_are_shaken_off_the_minimum_and_do_not_fall_apart():
    z, geometries = langevin_geometries("CCO", 2, 4, (300, 300), np.random.default_rng(0))
    np.testing.assert_array_equal(z, ETHANOL)
    assert geometries.shape == (4, 9, 3) and STEPS_BETWEEN > 1
    bonds = np.linalg.norm(geometries[:, 3] - geometries[:, 0], axis=1)  # of a hydrogen
    assert np.ptp(bonds) > 0.005 and bonds.min() > 0.9 and bonds.max() < 1.35  # Å
    again = langevin_geometries("CCO", 2, 4, (300, 300), np.random.default_rng(0))[1]
    np.testing.assert_array_equal(again, geometries)


def test_langevin_is_a_displacement_of_the_entry(tmp_path):
    entry = {**ENTRY, "smiles": ["O", "N", "C"], "displacement": "langevin", "geometries_per_molecule": 3}
    entry |= {"conformers": 1, "temperature": [300, 500], "test": 1, "validation": 1}
    header = labels.label("warm", entry, tmp_path, workers=1)
    assert header["structures"]["total"] == 9 and header["source"] == "the entry's smiles, langevin"
