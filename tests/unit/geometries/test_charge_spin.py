"""Charge and spin from files of every format through the store to SpookyNet and ASE."""

import dataclasses
import json
import tarfile

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.settings import changed
from helpers.spring_molecules import ENTRY, MOLECULES, ani, asedb, extxyz, frames, springs
from safetensors.torch import load_file

from chemscale.errors import ChemscaleError
from chemscale.geometries import keys
from chemscale.geometries.batches import gather
from chemscale.geometries.ingest import ingest
from chemscale.geometries.references import fit_references
from chemscale.geometries.store import open_geometries
from chemscale.geometries.xtb import single_point
from chemscale.simulation.calculator import PotentialCalculator
from chemscale.simulation.evaluate import evaluate
from chemscale.simulation.relaxation import write_minima
from chemscale.training.run import train_cell
from chemscale.training.tasks import make_task

SHIFT = 5.0  # eV, what a charge adds to a molecule of springs


def ions():
    """Frames of molecules of springs: of each the even ones neutral, the odd ones cations with an unpaired electron."""
    for k, atoms in enumerate(frames()):
        results = atoms.calc.results
        odd = k % 2
        atoms.calc = SinglePointCalculator(atoms, energy=results["energy"] + SHIFT * odd, forces=results["forces"])
        atoms.info |= {"q": odd, "multiplicity": 1 + odd}
        yield atoms


NAMES = {"charge": "q", "spin": "multiplicity", "spin_is": "multiplicity"}


def extxyz_of_ions(path):
    _, own = extxyz(path)
    path = path.with_suffix(".ions.xyz")
    ase.io.write(path, list(ions()), format="extxyz")
    return path, own | NAMES


def asedb_of_ions(path):
    path = path.with_suffix(".ions.db")
    with ase.db.connect(path) as database:
        for atoms in ions():
            labels = atoms.calc.results
            atoms.set_initial_charges([atoms.info["q"] / len(atoms)] * len(atoms))
            atoms.calc = SinglePointCalculator(atoms, **labels)
            pairs = {"name": atoms.info["name"], "multiplicity": atoms.info["multiplicity"]}
            database.write(atoms, **pairs)
    return path, extxyz(path)[1] | NAMES | {"format": "asedb", "charge": "charge"}


def hdf5_of_ions(path):
    path, own = ani(path)
    with h5py.File(path, "a") as file:
        for name in MOLECULES:
            odd = np.arange(30) % 2
            file[name]["e"][:] += SHIFT * odd / ase.units.Hartree
            file[name]["q"], file[name]["multiplicity"] = odd, 1 + odd
    return path, own | NAMES


@pytest.fixture
def store(tmp_path):
    path, own = extxyz_of_ions(tmp_path / "file")
    ingest("ions", ENTRY | own | {"unseen_molecules": 0}, path, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("write", [extxyz_of_ions, asedb_of_ions, hdf5_of_ions])
def test_charge_and_spin_of_every_structure_are_kept(write, tmp_path):
    path, own = write(tmp_path / "file")
    header = ingest("ions", ENTRY | own, path, tmp_path / "store")
    assert header["structures_with_charge"] == header["structures_with_unpaired"] == 30
    geometries = open_geometries(tmp_path / "store")
    assert geometries.charged == 30 and geometries.charge.dtype == np.int8
    n_atoms = np.diff(geometries.offsets)
    right = np.concatenate([springs(name, 30)[2][1::2] + SHIFT for name in MOLECULES])
    np.testing.assert_allclose(np.sort(geometries.energy[geometries.charge == 1]), np.sort(right), atol=1e-5)
    assert (geometries.charge == geometries.unpaired).all() and set(n_atoms[geometries.charge == 1]) == {3, 5}


def test_an_archive_has_a_charge_for_all_or_one_for_each(tmp_path):
    z, x, e, f = springs("CH4", 30)
    arrays = {"z": z, "R": x, "E": e, "F": f}
    np.savez(tmp_path / "all.npz", **arrays, q=-2)
    np.savez(tmp_path / "each.npz", **arrays, q=np.full((30, 1), -2))
    np.savez(tmp_path / "wrong.npz", **arrays, q=np.full(29, -1))
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "all.npz", "all.npz")
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "charge": "q", "unseen_molecules": 0}
    entry |= {"energy_unit": "eV", "forces_unit": "eV/angstrom"}
    made = [ingest("md", entry, tmp_path / name, tmp_path / "store") for name in ("all.npz", "each.npz", "all.tar")]
    assert len({header["fingerprint"] for header in made}) == 1
    assert made[0]["structures_with_charge"] == 30 and made[0]["structures_with_unpaired"] == 0
    with pytest.raises(ChemscaleError, match=r"wrong\.npz/q: shape .29,.; expected 30, one per structure"):
        ingest("md", entry, tmp_path / "wrong.npz", tmp_path / "store")
    with pytest.raises(ChemscaleError, match="charge = 'p': not found; choose one of z, R, E, F, q"):
        ingest("md", entry | {"charge": "p"}, tmp_path / "all.npz", tmp_path / "store")


def test_a_store_without_charges_has_no_arrays_of_them_and_says_nothing(tmp_path):
    path, own = extxyz(tmp_path / "file")
    header = ingest("mine", ENTRY | own, path, tmp_path / "store")
    assert not [name for name in header if name.startswith("structures_with")]
    assert set(header["sha256"]) == {f"{key}.npy" for key in ("z", "positions", "forces", "energy", "offsets", "group")}
    # as it was before there were charges
    assert header["fingerprint"].startswith("9db7d5c6a6f9")
    geometries = open_geometries(tmp_path / "store")
    assert geometries.charged == 0 and geometries.electrons(np.arange(3)) == {}


def test_equal_geometries_of_other_charge_are_not_equal(tmp_path):
    z, x, e, f = springs("CH4", 30)
    arrays = {"z": z, "R": np.concatenate([x, x]), "E": np.concatenate([e, e + SHIFT]), "F": np.concatenate([f, f])}
    np.savez(tmp_path / "ions.npz", **arrays, q=np.repeat([0, 1], 30), s=np.repeat([0, 1], 30))
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "charge": "q", "spin": "s", "unseen_molecules": 0}
    entry |= {"energy_unit": "eV", "forces_unit": "eV/angstrom"}
    header = ingest("ions", entry, tmp_path / "ions.npz", tmp_path / "store")
    assert header["duplicates"] == 0 and header["structures"]["total"] == 60
    assert json.loads((tmp_path / "store" / "sanity.json").read_text())["consistency"]["work"] == pytest.approx(1, 0.1)


def test_labels_of_an_ion_are_made_again_as_one(tmp_path):
    """The radical cation of water, labelled with GFN2-xTB; as a neutral molecule its energy is 12 eV lower."""
    z, x, _, _ = springs("H2O", 12)
    energy, forces = zip(*(single_point(z, positions, charge=1, unpaired=1) for positions in x), strict=True)
    np.savez(tmp_path / "ion.npz", z=z, R=x, E=energy, F=forces, q=1, s=2)
    entry = ENTRY | {"format": "npz", "method": "GFN2-xTB", "energy": "E", "forces": "F", "unseen_molecules": 0}
    entry |= {"energy_unit": "eV", "forces_unit": "eV/angstrom", "charge": "q", "spin": "s", "spin_is": "multiplicity"}
    ingest("ion", entry | {"test": 2, "validation": 2}, tmp_path / "ion.npz", tmp_path / "store")
    remade = json.loads((tmp_path / "store" / "sanity.json").read_text())["remade"]
    assert remade["energy"] < 1e-4 and remade["forces"] < 1e-3 and remade["difference"] < 0.01
    assert single_point(z, x[0])[0] < energy[0] - 10


def test_simulations_start_from_neutral_molecules_alone(tmp_path):
    path, own = extxyz_of_ions(tmp_path / "again")
    ingest("ions", ENTRY | own, path, tmp_path / "ions")
    geometries = open_geometries(tmp_path / "ions")
    write_minima(geometries, 5, 0, tmp_path / "minima.parquet")
    (start,) = pd.read_parquet(tmp_path / "minima.parquet")["start"]
    rows = geometries.rows("unseen")
    neutral = rows[geometries.charge[rows] == 0]
    lowest = neutral[[geometries.energy[neutral].argmin()]]
    np.testing.assert_array_equal(start, geometries.positions[geometries.atoms(lowest)].ravel())
    ions = dataclasses.replace(geometries, charge=np.ones_like(geometries.charge))
    with pytest.raises(ChemscaleError, match="split 'unseen' has no neutral closed-shell molecules"):
        write_minima(ions, 5, 0, tmp_path / "minima.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spin_is": "unpaired"}, r"frame 1: 1 of 10 electrons cannot be unpaired; try spin_is: multiplicity"),
        ({"charge": None}, r"frame 2: q = 1: .* would make this molecule neutral; add `charge: q` to it"),
        ({"charge": "total"}, r"frame 1: charge = 'total': not found; choose one of .*q, multiplicity"),
        ({"charge": "name"}, r"frame 1/name: not a number; name totals of structures"),
        ({"charge": "energy"}, r"frame 1 .energy.: charge = -1\d+\.?\d*: must be an integer"),
    ],
)
def test_charges_and_spins_that_cannot_be(tmp_path, change, said):
    path, own = extxyz_of_ions(tmp_path / "file")
    entry = {key: value for key, value in (ENTRY | own | change).items() if value is not None}
    with pytest.raises(ChemscaleError, match=said):
        ingest("ions", entry, path, tmp_path / "store")


def test_a_charge_that_the_entry_does_not_name_is_no_neutral_molecule(tmp_path):
    path, own = asedb_of_ions(tmp_path / "file")
    del own["charge"], own["spin"], own["spin_is"]
    with pytest.raises(ChemscaleError, match="row 2: initial_charges = 1: the entry would make this molecule neutral"):
        ingest("ions", ENTRY | own, path, tmp_path / "store")
    path, own = asedb(tmp_path / "neutral")
    assert ingest("mine", ENTRY | own, path, tmp_path / "store")["structures"]["total"] == 60


def test_batches_carry_what_the_store_has(store):
    geometries = open_geometries(store)
    rows = np.array([7, 3, 20, 11])
    batch = gather(geometries, rows, fit_references(geometries, geometries.rows("train")), 4.0, "cpu")
    assert set(batch) >= {keys.CHARGE, keys.UNPAIRED}
    np.testing.assert_array_equal(batch[keys.CHARGE], geometries.charge[rows])
    assert batch[keys.CHARGE].dtype == torch.float32 and batch[keys.UNPAIRED].shape == (4,)


@pytest.fixture
def charged_settings(cell_settings, store):
    training = {"steps": 200, "loss": {"energy": 1.0, "force": 1.0}, "weight_decay": 0.0}
    return changed(cell_settings, dataset=str(store), family="spookynet", data=40, **training)


@pytest.mark.parametrize("arm", ["potential"])
def test_families_without_an_input_of_charge_refuse_the_dataset(arm, charged_settings, tmp_path):
    message = "30 of 60 structures are charged .*, and the family schnet has no input for them; use spookynet"
    with pytest.raises(ChemscaleError, match=message):
        train_cell(changed(charged_settings, family="schnet"), tmp_path / "cell", tmp_path / "state")


@pytest.mark.parametrize("arm", ["potential"])
def test_spookynet_learns_what_a_charge_costs_and_ase_gets_it(
    arm, charged_settings, store, trained_potential, tmp_path
):
    metrics = train_cell(charged_settings, tmp_path / "cell", tmp_path / "state")
    # without the charge the best guess of a molecule's energy is half of SHIFT off
    assert metrics["test_energy_mae"] < 0.25 * SHIFT / 2 / 5
    written = evaluate(tmp_path / "cell", [store], tmp_path / "errors.json")
    test = written["stores"]["ions"]["splits"]["test"]
    assert test["energy_mae"] == pytest.approx(metrics["test_energy_mae"], rel=1e-4)
    task = make_task(charged_settings)
    task.model.load_state_dict(load_file(tmp_path / "cell" / "model.safetensors"))

    geometries, row = open_geometries(store), np.array([2])
    atoms = ase.Atoms(geometries.z[geometries.atoms(row)], geometries.positions[geometries.atoms(row)])
    atoms.calc = PotentialCalculator(tmp_path / "cell")
    neutral = atoms.get_potential_energy()
    atoms.info |= {"charge": 1, "unpaired": 1}
    cation = atoms.get_potential_energy()
    assert cation - neutral == pytest.approx(SHIFT, rel=0.3), "a change of info is a new calculation"
    atoms.info.clear()
    atoms.calc = PotentialCalculator(tmp_path / "cell", charge=1, unpaired=1)
    assert atoms.get_potential_energy() == cation
    atoms.info["charge"] = atoms.info["unpaired"] = 0
    assert atoms.get_potential_energy() == neutral, "info comes before the keyword"

    atoms = ase.Atoms(
        "OH2", MOLECULES["H2O"][1], info={"charge": 1}, calculator=PotentialCalculator(trained_potential[1])
    )
    with pytest.raises(ChemscaleError, match="charge = 1: the potential was trained on neutral closed-shell molecules"):
        atoms.get_potential_energy()


def frame(of="H2O", **info):
    z, x, e, f = springs(of, 1)
    atoms = ase.Atoms(z, x[0] + 0.01, info=info)
    atoms.calc = SinglePointCalculator(atoms, energy=e[0], forces=f[0])
    return atoms


def initial_charges(atoms):
    atoms.set_initial_charges([1] + [0] * (len(atoms) - 1))


def initial_moments(atoms):
    atoms.set_initial_magnetic_moments([1, -1] + [0] * (len(atoms) - 2))


SHOWN = {
    "charge": (1, "charged"),
    "total_charge": (1, "charged"),
    "Charge": (-1, "charged"),
    "net_charge": ("+1", "charged"),
    "q": (2.0, "charged"),
    "spin": (3, "open shell"),
    "multiplicity": (3, "open shell"),
    "spin_multiplicity": ("3", "open shell"),
    "unpaired_electrons": (2, "open shell"),
    "total_magmom": (2.0, "open shell"),
    "smiles": ("[OH3+]", "charged"),
    "name": ("[OH2+]", "charged"),
}


FRAMES = [("extxyz", key) for key in (*SHOWN, initial_charges, initial_moments)]
SEEN = ("charge", "total_charge", "spin", initial_charges)
FRAMES += [(container, key) for container in ("traj", "asedb") for key in SEEN]


@pytest.mark.parametrize(("container", "key"), FRAMES)
def test_a_charge_or_open_shell_that_a_frame_shows_is_refused_or_dropped(tmp_path, container, key):
    everything = list(frames())
    atoms = frame() if callable(key) else frame(**{key: SHOWN[key][0]})
    if callable(key):
        key(atoms)
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    path = tmp_path / {"extxyz": "a.xyz", "traj": "a.traj", "asedb": "a.db"}[container]
    if container == "asedb":
        with ase.db.connect(path) as database:
            for own in [*everything, atoms]:
                database.write(own, data=own.info)
    else:
        ase.io.write(path, [*everything, atoms], format=container)
    entry = ENTRY | extxyz(tmp_path / "x")[1] | {"format": container}
    kind = "row" if container == "asedb" else "frame"
    with pytest.raises(
        ChemscaleError, match=rf"{kind} 61: .* the entry would make this molecule (neutral|a closed shell)"
    ):
        ingest("ions", entry, path, tmp_path / "store")
    header = ingest("ions", entry | {"ions_and_radicals": "drop"}, path, tmp_path / "store")
    reason = SHOWN[key][1] if key in SHOWN else "charged" if key is initial_charges else "open shell"
    assert header["structures"]["total"] == 60 and header["dropped"] == {reason: 1}


@pytest.mark.parametrize(
    ("info", "charged"),
    [({"charge": 0, "spin": 1}, False), ({"charge": None}, False), ({"charge": "0"}, False), ({"charge": "+1"}, True)],
)
def test_ways_to_write_a_neutral_molecule(tmp_path, info, charged):
    path = tmp_path / "a.traj"
    ase.io.write(path, [*frames(), frame(**info)])
    entry = ENTRY | extxyz(tmp_path / "x")[1] | {"format": "traj", "ions_and_radicals": "drop"}
    assert ingest("ions", entry, path, tmp_path / "store")["dropped"] == ({"charged": 1} if charged else {})


def test_an_odd_number_of_electrons_is_no_closed_shell(tmp_path):
    z, x, e, f = springs("CH4", 30)
    np.savez(tmp_path / "ions.npz", z=z, R=x, E=e, F=f, q=np.repeat([0, 1], 15))
    entry = ENTRY | {"format": "npz", "energy": "E", "forces": "F", "charge": "q", "unseen_molecules": 0}
    entry |= {"energy_unit": "eV", "forces_unit": "eV/angstrom"}
    message = "geometry 16: number of electrons = 9: .* a closed shell; name its spin in `spin`, or `ions_and_radicals"
    with pytest.raises(ChemscaleError, match=message):
        ingest("ions", entry, tmp_path / "ions.npz", tmp_path / "store")
    header = ingest("ions", entry | {"ions_and_radicals": "drop"}, tmp_path / "ions.npz", tmp_path / "store")
    assert header["dropped"] == {"open shell": 15} and header["structures_with_charge"] == 0


@pytest.mark.parametrize("key", ["smiles", "partial_charges"])
def test_charges_of_smiles_and_sums_over_atoms(tmp_path, key):
    z, x, e, f = springs("H2O", 30)
    path = tmp_path / "ions.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("water")
        group["atomic_numbers"], group["coordinates"], group["e"], group["f"] = z, x, e, f
        if key == "smiles":
            group["smiles"] = np.array([b"O", b"[OH2+2]"] * 15)
        group["partial_charges"] = np.full((30, 3, 1), 2 / 3) * (np.arange(30) % 2)[:, None, None]
    entry = ENTRY | {"energy_unit": "eV", "forces_unit": "eV/angstrom", "unseen_molecules": 0, "charge": key}
    if key == "smiles":
        with pytest.raises(ChemscaleError, match=r"smiles = 2: .* a closed shell; add `spin: smiles` to it"):
            ingest("ions", entry, path, tmp_path / "store")
        entry |= {"spin": "smiles"}
    header = ingest("ions", entry, path, tmp_path / "store")
    assert header["structures_with_charge"] == 15
    assert set(open_geometries(tmp_path / "store").charge) == {0, 2}


def test_a_charge_that_some_frames_lack_can_mean_neutral(tmp_path):
    ase.io.write(tmp_path / "a.xyz", [*frames(), frame("CH4", q=-2)], format="extxyz")
    entry = ENTRY | extxyz(tmp_path / "x")[1] | {"charge": "q"}
    with pytest.raises(ChemscaleError, match="frame 1: charge = 'q': not found; choose one of"):
        ingest("ions", entry, tmp_path / "a.xyz", tmp_path / "store")
    header = ingest("ions", entry | {"missing_charge": 0}, tmp_path / "a.xyz", tmp_path / "store")
    assert header["structures_with_charge"] == 1 and header["structures"]["total"] == 61
