"""Batched dynamics against ASE's and against statistical mechanics; what is measured on them; errors elsewhere."""

import json

import ase.units as units
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data import atomic_masses
from ase.md.verlet import VelocityVerlet

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.geometries.dynamics import dynamics, kinetic_energies, thermal_velocities
from chemscale.geometries.measures import aligned_rmsd
from chemscale.geometries.xtb import single_point
from chemscale.simulation.calculator import PotentialCalculator
from chemscale.simulation.evaluate import evaluate
from chemscale.simulation.predict import predict
from chemscale.simulation.relaxation import write_minima
from chemscale.simulation.simulate import run_dynamics, simulate, summarise
from chemscale.simulation.stability import broken, drift, find_bonds
from chemscale.training.tasks import make_task

NAMES = ("CH3CH2OH", "CH4", "H2O")


def batch(names=NAMES):
    molecules = [molecule(name) for name in names]
    z = np.concatenate([atoms.numbers for atoms in molecules])
    return molecules, z, np.array([len(atoms) for atoms in molecules])


def test_without_friction_a_batch_moves_as_its_molecules_do_in_ase(trained_potential):
    calculator = PotentialCalculator(trained_potential[1], dtype="float64")
    molecules, z, sizes = batch()
    generator = np.random.default_rng(0)
    velocities = thermal_velocities(atomic_masses[z], sizes, 300, generator)
    run = dynamics(
        lambda positions: predict(calculator.potential, z, sizes, positions),
        np.concatenate([atoms.positions for atoms in molecules]),
        velocities, atomic_masses[z], 0.5, np.zeros(len(z)), 300, generator,
    )  # fmt: skip
    for _ in range(40):
        moment = next(run)
    parts = np.split(velocities, np.cumsum(sizes)[:-1])
    for number, (atoms, part) in enumerate(zip(molecules, parts, strict=True)):
        atoms.calc = calculator
        atoms.set_masses(atomic_masses[atoms.numbers])
        atoms.set_velocities(part)
        VelocityVerlet(atoms, 0.5 * units.fs).run(40)
        own = np.repeat(np.arange(len(sizes)), sizes) == number
        assert np.abs(moment.positions[own] - atoms.positions).max() < 1e-6
        assert np.abs(moment.velocities[own] - atoms.get_velocities()).max() < 1e-6
        assert moment.energy[number] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert np.abs(atoms.positions - molecule("H2O").positions).max() > 0.05, "it moved"


def test_the_heat_bath_has_its_temperature():
    """1,000 harmonic oscillators: ⟨x²⟩ = kT/k exactly for BAOAB, ⟨mv²⟩ = kT to second order of the step."""
    stiffness, masses, temperature = 2.0, np.full(1000, 4.0), 400.0
    run = dynamics(
        lambda x: (stiffness / 2 * (x**2).sum(1), -stiffness * x),
        np.zeros((1000, 3)), np.zeros((1000, 3)), masses, 1.0, np.full(1000, 0.05), temperature,
        np.random.default_rng(0),
    )  # fmt: skip
    squares, kinetic = [], []
    for number in range(400):
        moment = next(run)
        if number >= 200 and number % 20 == 0:
            squares.append(np.square(moment.positions).mean())
            kinetic.append(masses[0] * np.square(moment.velocities).mean())
    kt = units.kB * temperature
    assert np.mean(squares) == pytest.approx(kt / stiffness, rel=0.03)
    assert np.mean(kinetic) == pytest.approx(kt, rel=0.03)


def test_first_velocities_have_the_temperature_and_no_net_momentum():
    sizes = np.full(2000, 5)
    masses = np.tile(atomic_masses[[6, 1, 1, 1, 1]], 2000)
    velocities = thermal_velocities(masses, sizes, 500, np.random.default_rng(0))
    momenta = (masses[:, None] * velocities).reshape(2000, 5, 3).sum(1)
    assert np.abs(momenta).max() < 1e-12
    mean = kinetic_energies(masses, sizes, velocities).mean()
    assert mean == pytest.approx((15 - 3) / 2 * units.kB * 500, rel=0.02)


def test_bonds_are_found_and_seen_to_break():
    molecules, z, sizes = batch()
    positions = np.concatenate([atoms.positions for atoms in molecules])
    bonds = find_bonds(z, sizes, positions)
    assert np.bincount(bonds.molecule).tolist() == [8, 4, 2]
    assert not broken(bonds, 3, positions).any()
    for shift, expected in ((0.45, False), (0.55, True), (np.nan, True), (np.inf, True)):
        moved = positions.copy()
        atom = sizes[0] + 1  # a hydrogen of methane, moved along its bond
        moved[atom] += shift * (positions[atom] - positions[atom - 1]) / bonds.length[8]
        assert broken(bonds, 3, moved).tolist() == [False, expected, False], shift


def test_drift_is_the_slope_and_rms_what_is_left():
    time = np.linspace(0, 2, 101)
    wave = 0.3 * np.where(np.arange(101) % 2, -1, 1)
    slope, rms = drift(time, np.stack([5 + 0.7 * time, 3 - 2 * time + wave], axis=1))
    assert slope == pytest.approx([0.7, -2], abs=0.01)
    assert rms == pytest.approx([0, 0.3], abs=0.01)


def test_a_molecule_that_breaks_is_counted_and_disturbs_no_other(trained_potential):
    potential = PotentialCalculator(trained_potential[1]).potential
    molecules, *_ = batch()
    settings = {"temperature": 300.0, "picoseconds": 0.05, "step": 0.5, "seed": 0}
    calm = run_dynamics(potential, molecules, **settings)
    assert calm["nve_whole"].all() and calm["survived"].all() and calm["stability_ps"].eq(0.05).all()
    assert calm["nve_rms"].between(0, 5).all()
    hot = run_dynamics(potential, molecules, **settings | {"temperature": 200_000.0})
    assert not hot["survived"].any() and hot["stability_ps"].lt(0.05).all() and hot["nve_drift"].isna().all()
    with pytest.raises(ChemscaleError, match="more than 10 steps"):
        run_dynamics(potential, molecules, **settings | {"picoseconds": 0.004})
    with pytest.raises(ChemscaleError, match="does not know Cl"):
        run_dynamics(potential, [molecule("CH3Cl")], **settings)


def test_rmsd_knows_no_shift_and_no_rotation():
    atoms = molecule("CH3CH2OH")
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3))
    turned.positions += 5
    assert aligned_rmsd(turned.positions, atoms.positions) < 1e-7
    turned.positions[0] += [0.3, 0, 0]
    assert 0.05 < aligned_rmsd(turned.positions, atoms.positions) < 0.1


@pytest.fixture(scope="module")
def minima(tiny_geometries, tmp_path_factory):
    path = tmp_path_factory.mktemp("minima") / "minima.parquet"
    assert main(["minima", str(tiny_geometries), "--molecules", "5", "--out", str(path)]) == 0
    return path


def test_minima_are_minima_of_the_labels_method(minima, tiny_geometries):
    table = pd.read_parquet(minima)
    header = read_json(tiny_geometries / "geometries.json")
    assert len(table) == header["entry"]["unseen_molecules"] == 2
    for row in table.itertuples():
        energy, forces = single_point(row.numbers, np.reshape(row.minimum, (-1, 3)))
        assert np.linalg.norm(forces, axis=1).max() < 0.02
        assert energy == pytest.approx(row.minimum_energy, abs=1e-5)
        assert energy < single_point(row.numbers, np.reshape(row.start, (-1, 3)))[0]


def test_minima_of_another_method_are_not_made_up(tiny_geometries, tmp_path):
    from chemscale.geometries.store import open_geometries

    store = open_geometries(tiny_geometries)
    store.header["method"] = "wB97X"
    write_minima(store, 2, 0, tmp_path / "minima.parquet")
    assert pd.read_parquet(tmp_path / "minima.parquet")[["minimum", "minimum_energy"]].isna().all(axis=None)


def test_a_simulation_is_summed_up_and_repeats(trained_potential, minima, tmp_path, capsys):
    record = trained_potential[1]
    run = ["simulate", str(record), str(minima), "--picoseconds", "0.05", "--temperature", "300"]
    assert main([*run, "--out", str(tmp_path / "a.parquet")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert main([*run, "--out", str(tmp_path / "b.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "b.parquet"))

    assert summary == read_json(tmp_path / "a.json")
    assert summary["fingerprint"] == read_json(record / "metrics.json")["fingerprint"]
    found = summary["dynamics"]
    assert found == {"simulated_ps": 0.05, **summarise(table)} and found["simulated_molecules"] == 2
    assert found["stability_ps"] == table["stability_ps"].mean() <= 0.05
    assert found["relaxed"] == 1 and 0 < found["relax_rmsd"] < 0.5 and found["relax_energy"] < 200


def test_simulations_of_ions_and_radicals_are_refused(minima, trained_potential, tmp_path):
    table = pd.read_parquet(minima)
    table.loc[0, "molecule"] = "[NH4+]"
    table.to_parquet(tmp_path / "ions.parquet")
    how = {"temperature": 300.0, "picoseconds": 0.05, "step": 0.5, "seed": 0}
    with pytest.raises(
        ChemscaleError, match=r"ions\.parquet: \[NH4\+\]: an ion or a radical; simulations take neutral"
    ):
        simulate(trained_potential[1], tmp_path / "ions.parquet", tmp_path / "dynamics.parquet", **how)


def test_a_failed_run_simulates_nothing_and_says_why(minima, tmp_path):
    write_json(tmp_path / "metrics.json", {"status": "failed", "reason": "not finite", "fingerprint": "f"})
    how = {"temperature": 300.0, "picoseconds": 0.05, "step": 0.5, "seed": 0}
    summary = simulate(tmp_path, minima, tmp_path / "dynamics.parquet", **how)
    assert summary["dynamics"] == {} and summary["reason"] == "not finite"


def test_errors_on_a_store_are_those_of_the_training_and_add_up(trained_potential, tiny_geometries, tmp_path):
    settings, record = trained_potential
    content = evaluate(record, [tiny_geometries], tmp_path / "errors.json")
    assert content == read_json(tmp_path / "errors.json")
    by_model = evaluate(record / "model.safetensors", [tiny_geometries], tmp_path / "model.json", structures=1)
    assert by_model["fingerprint"] == content["fingerprint"] == read_json(record / "metrics.json")["fingerprint"]
    splits = content["stores"]["tiny"]["splits"]
    assert set(splits) == {"unseen", "test", "validation", "train"}
    metrics = read_json(record / "metrics.json")
    for split in ("test", "unseen"):
        for name in ("energy_mae", "energy_rmse", "force_mae", "force_mae_se", "force_rmse"):
            assert splits[split][name] == pytest.approx(metrics[f"{split}_{name}"], rel=1e-4)
    test = splits["test"]
    assert test["zero_force_mae"] == pytest.approx(make_task(settings).baseline()["zero_force_mae"], rel=1e-6)
    sizes = test["by_heavy_atoms"]
    assert set(sizes) <= {"1", "2", "3"} and sum(part["structures"] for part in sizes.values()) == 30
    few = evaluate(record, [tiny_geometries], tmp_path / "few.json", structures=7)
    assert {part["structures"] for part in few["stores"]["tiny"]["splits"].values()} == {7}
    assert few["errors"]["on_tiny_structures"] == 28


def test_a_store_with_an_element_never_seen_has_a_reason_and_no_errors(
    trained_potential, tiny_geometries, tmp_path, monkeypatch, caplog
):
    import chemscale.simulation.evaluate as module

    store = module.open_geometries(tiny_geometries)
    z = store.z.copy()
    z[store.z == 6] = 14
    silicon = type(store)(**vars(store) | {"z": z, "header": store.header | {"name": "silicon"}})
    stores = {"plain": store, "silicon": silicon}
    monkeypatch.setattr(module, "open_geometries", stores.get)
    found = evaluate(trained_potential[1], list(stores), tmp_path / "errors.json")
    reason = found["stores"]["silicon"]["reason"]
    assert "trained on H, C, N, O only and does not know Si" in reason and reason in caplog.text
    assert "splits" not in found["stores"]["silicon"] and found["stores"][store.header["name"]]["splits"]
    assert not [key for key in found["errors"] if "silicon" in key] and found["errors"]


def test_a_single_atom_does_not_stop_a_batch(trained_potential):
    potential = PotentialCalculator(trained_potential[1]).potential
    table = run_dynamics(potential, [Atoms("H"), molecule("CH4")], 300.0, 0.02, 0.5, 0)
    assert table["survived"].all() and table["atoms"].tolist() == [1, 5]
