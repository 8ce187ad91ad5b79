"""Which atoms see each other."""

import torch
from torch import Tensor


def pairs(positions: Tensor, n_atoms: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """All ordered pairs i ≠ j of one molecule that are closer than `cutoff` (Å), for a whole batch at once.

    `positions` (A, 3) in Å hold the molecules one after the other, `n_atoms` (M,) their sizes.
    Returns i (E,) and j (E,): all pairs with i < j, sorted by i, then j, and then the same with i and j exchanged.
    So what depends on distances alone can be computed for the first half and serve both.
    """
    # at 5 Å small molecules are mostly complete graphs, so testing every pair beats any cell list
    size = n_atoms.repeat_interleave(n_atoms)  # (A,) atoms in each atom's molecule
    first = (n_atoms.cumsum(0) - n_atoms).repeat_interleave(n_atoms)  # (A,) where that molecule begins
    i = torch.arange(len(positions), device=positions.device).repeat_interleave(size)  # (P,) candidates
    shift = first - (size.cumsum(0) - size)  # (A,) from place among the candidates to atom
    j = torch.arange(len(i), device=positions.device) + shift.index_select(0, i)  # (P,)
    d = positions.index_select(0, j) - positions.index_select(0, i)  # (P, 3)
    near = ((d * d).sum(1) < cutoff**2) & (i < j)
    i, j = i[near], j[near]
    return torch.cat([i, j]), torch.cat([j, i])
