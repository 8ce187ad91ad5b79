"""Names, shapes and units of the tensors of a batch: M molecules, A atoms and E pairs, concatenated."""

Z = "z"  # (A,) int64, atomic numbers
POSITIONS = "positions"  # (A, 3), Å
MOLECULE = "molecule"  # (A,) int64, the molecule of the batch that an atom belongs to
N_ATOMS = "n_atoms"  # (M,) int64
ENERGY = "energy"  # (M,), eV, the atoms' reference energies subtracted
FORCES = "forces"  # (A, 3), eV/Å, minus the gradient of the energy
PAIR_I = "pair_i"  # (E,) int64, the atom that receives; in the order of `batches.pairs`
PAIR_J = "pair_j"  # (E,) int64, its neighbour, of the same molecule and within the cutoff
CHARGE = "charge"  # (M,), elementary charges; optional; neutral where missing
UNPAIRED = "unpaired"  # (M,), unpaired electrons; optional; closed shell where missing
