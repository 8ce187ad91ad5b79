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
from chemscale.geometries.batches import pairs
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
    with pytest.raises(ChemscaleError, match="use one of float32, float64"):
        PotentialCalculator(trained_potential[1], dtype="half")


def test_a_single_atom_has_an_energy_and_no_force(trained_potential):
    atoms = Atoms("H", calculator=PotentialCalculator(trained_potential[1]))
    assert np.isfinite(atoms.get_potential_energy()) and not atoms.get_forces().any()


def test_keywords_of_other_tools_are_refused_and_named(trained_potential):
    for keywords, said in (
        ({"default_dtype": "float64"}, r"default_dtype = 'float64': unknown keyword; did you mean dtype\?"),
        ({"devise": "cuda"}, r"devise = 'cuda': unknown keyword; did you mean device\?"),
        ({"dtype": "float46"}, r"dtype = 'float46': unknown; did you mean float64\?"),
        ({"device": "gpu"}, "device = 'gpu': .*; use cpu"),
    ):
        with pytest.raises(ChemscaleError, match=said):
            PotentialCalculator(trained_potential[1], **keywords)
    calculator = PotentialCalculator(trained_potential[1], device="cpu")
    with pytest.raises(ChemscaleError, match="total_charge = 1: unknown keyword; did you mean charge"):
        calculator.set(total_charge=1)


def moments(atoms):
    atoms.set_initial_magnetic_moments([1, 1] + [0] * (len(atoms) - 2))


def charges(atoms):
    atoms.set_initial_charges([1] + [0] * (len(atoms) - 1))


@pytest.mark.parametrize(
    "info",
    [
        {"charge": 1}, {"charge": "+1"}, {"total_charge": -1}, {"Charge": 1}, {"net_charge": 2.0}, {"spin": 3},
        {"multiplicity": 3}, {"spin_multiplicity": 3}, {"unpaired": 2}, charges, moments,
    ],
)  # fmt: skip
def test_a_charge_or_open_shell_is_never_taken_for_a_neutral_closed_shell(trained_potential, info):
    atoms = molecule("H2O")
    atoms.calc = PotentialCalculator(trained_potential[1])
    neutral = atoms.get_potential_energy()
    if callable(info):
        info(atoms)
    else:
        atoms.info |= info
    with pytest.raises(ChemscaleError, match=r"(charge|unpaired) = -?[12]: the potential was trained on neutral"):
        atoms.get_potential_energy()
    atoms.calc.set(charge=2)
    atoms = molecule("H2O")
    atoms.calc = PotentialCalculator(trained_potential[1])
    atoms.calc.set(charge=1)
    with pytest.raises(ChemscaleError, match="charge = 1: the potential was trained on neutral"):
        atoms.get_potential_energy()
    for silent in ({}, {"charge": None}, {"charge": "0"}, {"charge": 0, "spin": 1, "multiplicity": 1}, {"spin": 0}):
        atoms.info = silent
        atoms.calc = PotentialCalculator(trained_potential[1])
        assert atoms.get_potential_energy() == neutral


def test_statements_that_contradict_each_other(trained_potential):
    atoms = molecule("H2O")
    atoms.calc = PotentialCalculator(trained_potential[1])
    atoms.info |= {"charge": 0, "total_charge": 1}
    with pytest.raises(ChemscaleError, match="H2O: charge: charge = 0, total_charge = 1; state one integer"):
        atoms.get_potential_energy()
    atoms.info = {"unpaired": 1}
    with pytest.raises(ChemscaleError, match="H2O: 1 of 10 electrons cannot be unpaired; correct spin or charge"):
        atoms.get_potential_energy()


def test_many_molecules_at_once_and_energies_of_atoms(trained_potential, frames):
    calculator = PotentialCalculator(trained_potential[1], dtype="float64")
    energies, forces = calculator.predict(frames, batch_atoms=30)
    assert energies.shape == (len(frames),) and len(forces) == len(frames)
    for energy, force, frame in zip(energies, forces, frames, strict=True):
        atoms = frame.copy()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), force, atol=1e-9)
        assert atoms.get_potential_energies().sum() == pytest.approx(energy, abs=1e-9)
    assert len(set(np.round(atoms.get_potential_energies(), 2))) > 1
    assert calculator.predict([])[1] == []


def test_what_the_training_data_say_nothing_about_is_warned_of_once(trained_potential, caplog):
    calculator = PotentialCalculator(trained_potential[1])
    calculator.predict([molecule("H2O"), molecule("CH4")])
    assert not caplog.text
    radical = Atoms("CH3", molecule("CH3").positions)  # those of ASE state their magnetic moments, and are refused
    calculator.predict([radical, radical])
    assert caplog.text.count("CH3 is outside the training domain: an odd number of electrons") == 1
    direction = np.zeros((1, 119))
    direction[0, [1, 6]] = 0.6, -0.8  # as trained on one composition, C3H4, alone
    calculator.potential = calculator.potential._replace(undetermined=direction)
    calculator.predict([molecule("C3H4_C2v")])
    assert "C3H4" not in caplog.text
    calculator.predict([molecule("CH4")])
    assert "CH4 is outside the training domain: the training data have too few compositions" in caplog.text


def test_large_molecules_find_their_pairs_by_a_tree(monkeypatch):
    positions = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 3)) * 6)
    sizes = torch.tensor([1, 300, 199])
    right = pairs(positions, sizes, 3.0)
    monkeypatch.setattr("chemscale.geometries.batches.MAX_ALL_PAIRS_ATOMS", 100)
    found = pairs(positions, sizes, 3.0)
    assert all(torch.equal(a, b) for a, b in zip(right, found, strict=True)) and len(found[0]) > 1000


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
