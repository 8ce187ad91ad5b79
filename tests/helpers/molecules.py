"""Molecules for the tests of potentials, batches of them, and the predictions of a model."""

import numpy as np
import torch
from ase.build import molecule as ase_molecule

from chemscale.geometries import keys
from chemscale.geometries.batches import pairs
from chemscale.models.potentials import energy_and_forces

CUTOFF = 4.0  # Å
NAMES = ("CH3CH2OH", "NH3", "HCOOH", "C6H6")


def distorted(names=NAMES):
    generator = np.random.default_rng(0)
    for name in names:
        atoms = ase_molecule(name)
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
        yield atoms


def batch_of(molecules, dtype=torch.float64):
    positions = torch.tensor(np.concatenate([m.positions for m in molecules]), dtype=dtype)
    n_atoms = torch.tensor([len(m) for m in molecules])
    i, j = pairs(positions, n_atoms, CUTOFF)
    return {
        keys.Z: torch.tensor(np.concatenate([m.numbers for m in molecules])),
        keys.POSITIONS: positions,
        keys.N_ATOMS: n_atoms,
        keys.MOLECULE: torch.arange(len(molecules)).repeat_interleave(n_atoms),
        keys.PAIR_I: i,
        keys.PAIR_J: j,
    }


def evaluate(model, *molecules):
    energy, forces = energy_and_forces(model, batch_of(molecules), training=False)
    return energy.numpy(), forces.numpy()
