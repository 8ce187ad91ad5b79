"""A trained potential in ASE: units, precision, conservation, export, and what it refuses."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from safetensors.torch import load_file

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.geometries.store import open_geometries
from chemscale.simulation.calculator import PotentialCalculator
from chemscale.training.tasks import make_task


@pytest.fixture(scope="module")
def frames(tiny_geometries):
    """Test structures of the store as ASE has them, and their number."""
    store = open_geometries(tiny_geometries)
    rows = store.rows("test")
    return [Atoms(store.z[store.atoms(rows[[k]])], store.positions[store.atoms(rows[[k]])]) for k in range(len(rows))]


def test_energies_and_forces_are_those_of_the_trainings_own_evaluation(trained_potential, frames):
    settings, record = trained_potential
    task = make_task(settings)
    task.model.load_state_dict(load_file(record / "model.safetensors"))
    errors = task.evaluate("test")
    calculator, rows = PotentialCalculator(record), task.geometries.rows("test")
    energies, forces = [], []
    for row, atoms in zip(rows, frames, strict=True):
        atoms.calc = calculator
        energies.append((atoms.get_potential_energy() - task.geometries.energy[row]) / len(atoms))
        forces.append(atoms.get_forces() - task.geometries.forces[task.geometries.atoms(np.array([row]))])
    assert np.abs(energies).mean() == pytest.approx(errors["energy_mae"], rel=1e-4)
    assert np.abs(np.concatenate(forces)).mean() == pytest.approx(errors["force_mae"], rel=1e-4)
    assert atoms.get_potential_energy() < -50, "references are in it"
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_forces_are_the_slope_of_the_energy_in_float64(trained_potential, frames):
    atoms = frames[0].copy()
    atoms.calc = PotentialCalculator(trained_potential[1], dtype="float64")
    forces, step = atoms.get_forces(), 1e-4
    numeric = np.empty_like(forces)
    for place in np.ndindex(forces.shape):
        energies = []
        for sign in (1, -1):
            atoms.positions[place] += sign * step
            energies.append(atoms.get_potential_energy())
            atoms.positions[place] -= sign * step
        numeric[place] = (energies[1] - energies[0]) / (2 * step)
    assert np.abs(forces).max() > 0.1
    assert np.abs(forces - numeric).max() < 1e-6
    atoms.calc = PotentialCalculator(trained_potential[1])
    assert 0 < np.abs(atoms.get_forces() - forces).max() < 1e-4, "float32 differs, by rounding"


def test_dynamics_conserve_energy_and_better_with_smaller_steps(trained_potential, frames):
    calculator, swings = PotentialCalculator(trained_potential[1], dtype="float64"), []
    for step in (0.5, 0.25):
        atoms = frames[0].copy()
        atoms.calc = calculator
        run, energies = VelocityVerlet(atoms, step * units.fs), []
        for _ in run.irun(int(20 / step)):
            energies.append(atoms.get_total_energy())
        swings.append(np.ptp(energies))
    assert np.ptp(energies) < 0.02 and swings[0] / swings[1] == pytest.approx(4, rel=0.3), "error of second order"


def test_what_it_cannot_compute_is_refused(trained_potential, frames):
    calculator = PotentialCalculator(trained_potential[1])

    def message(atoms: Atoms) -> str:
        atoms.calc = calculator
        with pytest.raises(ChemscaleError) as refusal:
            atoms.get_potential_energy()
        return str(refusal.value)

    assert "CH3Cl: the potential was trained on H, C" in message(molecule("CH3Cl"))
    close = molecule("H2O")
    close.positions[2] = close.positions[0] + [0, 0, 0.1]
    assert "atoms 0 (O) and 2 (H) overlap, 0.10 Å apart" in message(close)
    assert "set atoms.pbc = False" in message(Atoms("H2", [[0, 0, 0], [0, 0, 1]], cell=[5, 5, 5], pbc=True))
    assert "positions are not finite" in message(Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]))
    assert "there are none" in message(Atoms())
    with pytest.raises(ChemscaleError, match="choose one of float32, float64"):
        PotentialCalculator(trained_potential[1], dtype="half")


def test_a_single_atom_has_an_energy_and_no_force(trained_potential):
    atoms = Atoms("H", calculator=PotentialCalculator(trained_potential[1]))
    assert np.isfinite(atoms.get_potential_energy()) and not atoms.get_forces().any()


def test_export_to_ase_gives_the_same_energies_and_a_card_whose_code_runs(
    trained_potential, frames, tmp_path, monkeypatch
):
    settings, record = trained_potential
    assert main(["export", str(record), "--to", "ase", "--out", str(tmp_path / "ase")]) == 0
    atoms = frames[3].copy()
    atoms.calc = PotentialCalculator(record)
    expected = atoms.get_potential_energy()

    monkeypatch.chdir(tmp_path / "ase")
    monkeypatch.syspath_prepend(tmp_path / "ase")
    from calculator import calculator

    atoms.calc = calculator()
    assert atoms.get_potential_energy() == expected

    card = (tmp_path / "ase" / "README.md").read_text()
    assert f"{settings.data} structures" in card and "| elements | H, C" in card
    names = {}
    torch.manual_seed(0)
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        exec(code, names)
    assert names["atoms"].get_potential_energy() < 0
    # written anew over itself; a language model's target refuses it
    assert main(["export", str(record), "--to", "ase", "--out", str(tmp_path / "ase")]) == 0
    assert main(["export", str(record), "--to", "hf", "--out", str(tmp_path / "hf")]) == 2
