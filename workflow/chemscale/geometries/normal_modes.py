"""Thermal displacements of molecules along normal modes of a cheap force field.

The harmonic, classical ensemble of normal modes is how ANI's structures were made (Smith, Isayev, Roitberg, Chem. Sci.
8, 3192 (2017)); MMFF94 gives the modes, a quantum method then the labels.
"""

import ase.units as units
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

FINITE_DIFFERENCE = 1e-3  # Å
# Softer modes get the amplitude of a mode of this wavenumber: they are torsions, for which a straight displacement must
# be small.
MIN_WAVENUMBER = 350.0  # cm⁻¹
# wavenumber in cm⁻¹ of a mode with unit eigenvalue, 1 eV/(Å² amu)
UNIT_WAVENUMBER = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm


class GeometryError(Exception):
    """Report that no geometry of a molecule can be made; the message is the reason in failures.parquet."""


def conformers(smiles: str, count: int, seed: int, neutral: bool = True) -> Chem.Mol:
    """Return the molecule with hydrogens and up to `count` conformers (ETKDGv3), each at its MMFF94 minimum.

    Raises GeometryError if it is more than one molecule, if it is an ion or a radical and must be `neutral`, if RDKit
    embeds none, and if MMFF94 lacks parameters.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise GeometryError("not a SMILES")
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise GeometryError("more than one molecule")
    if neutral and Chem.GetFormalCharge(molecule):
        raise GeometryError("charged")
    if neutral and any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
        raise GeometryError("radical")
    molecule = Chem.AddHs(molecule)
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise GeometryError("no MMFF94 parameters")
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    if not len(rdDistGeom.EmbedMultipleConfs(molecule, count, parameters)):
        raise GeometryError("no conformer embedded")
    if any(unfinished for unfinished, _ in rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000)):
        raise GeometryError("MMFF94 minimisation not converged")
    return molecule


def mmff_gradient(molecule: Chem.Mol, positions: np.ndarray) -> np.ndarray:
    """Return the gradient (3A,) in eV/Å of MMFF94 at `positions` (A, 3) in Å."""
    # a fresh force field each time: CalcGrad(positions) of an existing one keeps distances from before the move
    moved = Chem.Mol(molecule, True)
    conformer = Chem.Conformer(len(positions))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=np.float64))
    moved.AddConformer(conformer, assignId=True)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(moved)
    force_field = rdForceFieldHelpers.MMFFGetMoleculeForceField(moved, properties)
    return np.array(force_field.CalcGrad()) * units.kcal / units.mol


def mmff_hessian(molecule: Chem.Mol, positions: np.ndarray) -> np.ndarray:
    """Return the second derivatives (3A, 3A) in eV/Å² of MMFF94 by central differences, symmetrised."""
    rows = []
    for step in np.eye(positions.size).reshape(-1, *positions.shape) * FINITE_DIFFERENCE:
        rows.append(mmff_gradient(molecule, positions + step) - mmff_gradient(molecule, positions - step))
    hessian = np.array(rows) / (2 * FINITE_DIFFERENCE)
    return (hessian + hessian.T) / 2


def normal_modes(hessian: np.ndarray, positions: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the vibrations at a minimum: eigenvalues (V,) in eV/(Å² amu) and displacements (V, A, 3) in 1/√amu.

    `hessian` (3A, 3A) in eV/Å², `masses` (A,) in amu. Rigid motions are projected out: V is 3A − 6, or 3A − 5 for a
    linear molecule. A displacement times a mass-weighted amplitude in √amu Å is in Å.
    """
    weights = np.sqrt(masses).repeat(3)  # (3A,)
    centred = positions - np.average(positions, axis=0, weights=masses)
    shifts = np.tile(np.eye(3), (len(masses), 1))  # (3A, 3)
    turns = np.stack([np.cross(axis, centred).ravel() for axis in np.eye(3)], axis=1)  # (3A, 3)
    basis, lengths, _ = np.linalg.svd(np.hstack([shifts, turns]) * weights[:, None])
    rigid = int((lengths > 1e-3 * lengths[0]).sum())
    inner = basis[:, rigid:]  # (3A, V)
    eigenvalues, vectors = np.linalg.eigh(inner.T @ (hessian / np.outer(weights, weights)) @ inner)
    return eigenvalues, ((inner @ vectors) / weights[:, None]).T.reshape(-1, len(masses), 3)


def displacement(
    eigenvalues: np.ndarray, modes: np.ndarray, temperature: float, generator: np.random.Generator
) -> np.ndarray:
    """Return a displacement (A, 3) in Å from the classical harmonic ensemble at `temperature` (K): ⟨q²⟩ = kT/λ."""
    stiffness = np.maximum(eigenvalues, (MIN_WAVENUMBER / UNIT_WAVENUMBER) ** 2)
    amplitudes = generator.normal(size=len(stiffness)) * np.sqrt(units.kB * temperature / stiffness)  # (V,) √amu Å
    return np.tensordot(amplitudes, modes, axes=1)


def thermal_geometries(
    smiles: str,
    n_conformers: int,
    count: int,
    temperature: tuple[float, float],
    generator: np.random.Generator,
    electrons: dict[str, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return atomic numbers (A,) and `count` geometries (count, A, 3) in Å of a molecule.

    Conformers take turns; each geometry has a temperature drawn uniformly from the range (K). Without `electrons`,
    charge and unpaired ones, the molecule must be a neutral closed shell. Raises GeometryError.
    """
    molecule = conformers(smiles, n_conformers, int(generator.integers(2**31)), electrons is None)
    z = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])
    minima = []
    for conformer in molecule.GetConformers():
        positions = conformer.GetPositions()
        minima.append((positions, *normal_modes(mmff_hessian(molecule, positions), positions, masses)))
    geometries = []
    for k in range(count):
        positions, eigenvalues, modes = minima[k % len(minima)]
        geometries.append(positions + displacement(eigenvalues, modes, generator.uniform(*temperature), generator))
    return z, np.array(geometries)
