"""The store: splits, nested subsets, damage; reference energies."""

import numpy as np
import pytest

from chemscale.errors import ChemscaleError
from chemscale.geometries.raw_arrays import Block
from chemscale.geometries.references import compositions, fit_references, require_elements, subtract, undetermined
from chemscale.geometries.store import ARRAYS, open_geometries
from chemscale.geometries.writing import write_store

ENTRY = {"unseen_molecules": 3, "test": 20, "validation": 10, "seed": 0, "max_failure_share": 0.05}
ATOMIC = {1: -13.6, 6: -1030.0, 7: -1485.0, 8: -2042.0}  # eV


def additive_blocks(molecules=12, each=10):
    """Molecules of random composition whose energies are exact sums over atoms."""
    generator = np.random.default_rng(1)
    for k in range(molecules):
        z = generator.choice(list(ATOMIC), size=generator.integers(2, 9))
        shape = (each, len(z), 3)
        energy = np.full(each, sum(ATOMIC[a] for a in z))
        positions = generator.normal(size=shape) / 10 + 2 * np.arange(len(z))[:, None]
        yield Block(z, positions, energy, generator.normal(size=shape), np.full(each, k))


def written(directory, entry=ENTRY):
    blocks = list(additive_blocks())
    return write_store(directory, "additive", entry, blocks, [f"m{k}" for k in range(12)], [], {})


@pytest.fixture
def geometries(tmp_path):
    written(tmp_path)
    return open_geometries(tmp_path)


def test_whole_molecules_are_unseen_and_the_other_splits_cover_the_rest(geometries):
    splits = {split: geometries.rows(split) for split in ("unseen", "test", "validation", "train")}
    assert {split: len(rows) for split, rows in splits.items()} == {
        "unseen": 30,
        "test": 20,
        "validation": 10,
        "train": 60,
    }
    assert sorted(np.concatenate(list(splits.values()))) == list(range(120))
    unseen = set(geometries.group[splits["unseen"]])
    assert len(unseen) == 3
    for split in ("test", "validation", "train"):
        assert not unseen & set(geometries.group[splits[split]])


def test_smaller_training_sets_are_part_of_larger_ones(geometries):
    small, large = geometries.rows("train", 5), geometries.rows("train", 17)
    np.testing.assert_array_equal(small, large[:5])
    assert len(set(geometries.group[large])) > 4  # shuffled, not molecule after molecule
    with pytest.raises(ChemscaleError, match="split 'train' has 60 structures, not 61"):
        geometries.rows("train", 61)
    with pytest.raises(ChemscaleError, match=r"split = 'valid': unknown in .*; choose one of unseen, test, validation"):
        geometries.rows("valid")


def test_every_structure_keeps_its_own_atoms_energy_and_forces(geometries):
    originals = {}
    for block in additive_blocks():
        for positions, forces in zip(block.positions, block.forces, strict=True):
            originals[np.float32(positions[0, 0])] = (block.z, positions, forces, block.energy[0], block.group[0])
    for row in range(120):
        atoms = geometries.atoms(np.array([row]))
        z, positions, forces, energy, group = originals[geometries.positions[atoms][0, 0]]
        np.testing.assert_array_equal(geometries.z[atoms], z)
        np.testing.assert_array_equal(geometries.positions[atoms], positions.astype(np.float32))
        np.testing.assert_array_equal(geometries.forces[atoms], forces.astype(np.float32))
        assert (geometries.energy[row], geometries.group[row]) == (energy, group)


def test_the_seed_decides_the_split_and_nothing_else_does(tmp_path, geometries):
    again = written(tmp_path / "again")
    other = written(tmp_path / "other", {**ENTRY, "seed": 1})
    assert again["fingerprint"] == geometries.header["fingerprint"] != other["fingerprint"]


def test_splits_that_leave_nothing_to_train_on(tmp_path):
    with pytest.raises(ChemscaleError, match=r"no structures left .* 120 structures of 12 molecules.*test = 90"):
        written(tmp_path, {**ENTRY, "test": 90})
    assert not (tmp_path / "geometries.json").exists()


@pytest.mark.parametrize("array", ARRAYS)
def test_a_truncated_or_missing_array_is_named(tmp_path, array):
    written(tmp_path)
    path = tmp_path / f"{array}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(ChemscaleError, match=rf"{array}\.npy: damaged or altered"):
        open_geometries(tmp_path)
    path.unlink()
    with pytest.raises(ChemscaleError, match=rf"{array}\.npy: the file is missing"):
        open_geometries(tmp_path)


def test_an_array_of_another_dataset_is_noticed(tmp_path):
    written(tmp_path)
    np.save(tmp_path / "energy.npy", np.zeros(7))
    with pytest.raises(ChemscaleError, match=r"energy\.npy: damaged or altered"):
        open_geometries(tmp_path)


def test_references_of_additive_energies_are_exact(geometries):
    references = fit_references(geometries, geometries.rows("train"))
    for z, energy in ATOMIC.items():
        assert references[z] == pytest.approx(energy, abs=1e-8)
    assert np.isnan(references[[0, 2, 9, 118]]).all() and references.shape == (119,)
    rows = geometries.rows("unseen")
    rest = subtract(geometries.energy[rows], references, geometries.z[geometries.atoms(rows)], geometries.n_atoms(rows))
    np.testing.assert_allclose(rest, 0, atol=1e-6)


def test_compositions_that_do_not_determine_the_references_are_known(geometries):
    assert undetermined(geometries, geometries.rows("train")).shape == (0, 119)
    one = geometries.rows("train")[:1]
    free = undetermined(geometries, one)
    counts = compositions(geometries.z[geometries.atoms(one)], geometries.n_atoms(one))[0]
    assert len(free) == np.count_nonzero(counts) - 1 and np.abs(free @ counts).max() < 1e-12
    np.testing.assert_allclose(free @ free.T, np.eye(len(free)), atol=1e-12)


def test_references_look_at_the_training_rows_only(tmp_path):
    blocks = list(additive_blocks())
    header = write_store(tmp_path, "additive", ENTRY, blocks, ["m"] * 12, [], {})
    geometries = open_geometries(tmp_path)
    energy = geometries.energy.copy()
    energy[: header["structures"]["unseen"]] += 1e6
    changed = type(geometries)(**{**vars(geometries), "energy": energy})
    train = np.arange(60, 120)
    np.testing.assert_array_equal(fit_references(changed, train), fit_references(geometries, train))


def test_an_element_without_reference_is_named(geometries):
    z = geometries.z.copy()
    last = geometries.atoms(geometries.rows("test"))[-1]
    z[last] = 9
    changed = type(geometries)(**{**vars(geometries), "z": z})
    references = fit_references(changed, changed.rows("train"))
    require_elements(references, changed, changed.rows("validation"))
    with pytest.raises(ChemscaleError, match="test structures contain F, the training structures only H, C, N, O"):
        require_elements(references, changed, changed.rows("test"))
