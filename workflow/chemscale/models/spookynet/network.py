"""SpookyNet (Unke et al., Nat. Commun. 12, 7273 (2021)), written from the paper for flat batches of molecules.

Atoms see their neighbours through s, p and d functions, whose invariant products feed residual networks. Two parts of
the paper are left out. Its empirical electrostatics, dispersion and repulsion: partial charges have no labels here, and
the screened repulsion of nuclei begins at 3 eV and 9 eV/Å for a C-H bond, which training would first have to undo. And
its electron configurations, which add nothing to a free vector per element.

Nonlocal attention is off by default: with it, every atom of a molecule attends to all others at any distance, so the
energies of two distant molecules do not add. Molecules of a batch never attend to each other. Charge and spin are
inputs only of a model that is built for them, since weights that are never trained would count as size.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chemscale.geometries import keys
from chemscale.models.atomwise import AtomicSum
from chemscale.models.family import ELEMENTS

BOHR = 0.529177  # Å


class SpookyNet(AtomicSum):
    """The energy of a molecule as the sum of atomic energies, read from the outputs of all modules, eq. 10–12.

    It has `depth` interaction modules with `width` features. `charged` models read `keys.CHARGE` and `keys.UNPAIRED` of
    a batch, each zero where the batch has none.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        cutoff: float,
        radial: int,
        nonlocal_attention: bool = False,
        charged: bool = False,
    ):
        super().__init__()
        self.embedding = nn.Embedding(ELEMENTS, width)
        nn.init.uniform_(self.embedding.weight, -math.sqrt(3), math.sqrt(3))
        self.electrons = nn.ModuleDict()
        if charged:
            self.electrons = nn.ModuleDict({key: ElectronicEmbedding(width) for key in (keys.CHARGE, keys.UNPAIRED)})
        self.basis = PairBasis(cutoff, radial)
        self.interactions = nn.ModuleList(Interaction(width, radial, nonlocal_attention) for _ in range(depth))
        self.readout = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.readout.weight)  # a fresh model predicts nothing, whatever its size

    def atomic_energies(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the energies (A,) of the atoms in eV, without their reference energies."""
        positions, i, j, molecule = (batch[k] for k in (keys.POSITIONS, keys.PAIR_I, keys.PAIR_J, keys.MOLECULE))
        molecules = batch[keys.N_ATOMS].shape[0]
        x = elements = self.embedding(batch[keys.Z])[None]  # (1, A, F)
        for key, embedding in self.electrons.items():
            if key in batch:
                x = x + embedding(elements, batch[key], molecule)
        radial, angular = self.basis(positions.index_select(0, j) - positions.index_select(0, i))  # (E, K), (E, 9)
        outputs: Any = 0
        for module in self.interactions:
            x, y = module(x, radial, angular, i, j, molecule, molecules)
            outputs = outputs + y
        return self.readout(outputs[0]).squeeze(-1)


class PairBasis(nn.Module):
    """Radial functions (exponential Bernstein polynomials under a smooth cutoff, eq. 13–15) and angular functions."""

    order: Tensor
    log_binomial: Tensor
    harmonics: Tensor

    def __init__(self, cutoff: float, radial: int):
        super().__init__()
        self.cutoff_squared = cutoff**2
        decay = 0.5 / BOHR  # 1/Å, the initial value of the paper
        self.decay = nn.Parameter(torch.tensor(math.log(math.expm1(decay))))
        order = torch.arange(radial, dtype=torch.float64)
        last = torch.tensor(radial - 1.0, dtype=torch.float64)
        log_binomial = torch.lgamma(last + 1) - torch.lgamma(order + 1) - torch.lgamma(last - order + 1)
        h = math.sqrt(3) / 2
        harmonics = [  # degree 2, from the products of two coordinates; the squares sum to 1 on the sphere
            [0, h, 0, h, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, h, 0, h, 0],
            [0, 0, h, 0, 0, 0, h, 0, 0],
            [h, 0, 0, 0, -h, 0, 0, 0, 0],
            [-0.5, 0, 0, 0, -0.5, 0, 0, 0, 1],
        ]
        for name, constant in {"order": order, "log_binomial": log_binomial, "harmonics": harmonics}.items():
            self.register_buffer(name, torch.as_tensor(constant, dtype=torch.float32), persistent=False)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return radial (E, K) and angular functions (E, 9; one s, three p, five d) of `vectors` (E, 3) in Å."""
        squared = vectors.square().sum(1, keepdim=True)  # (E, 1)
        r = squared.sqrt()
        # where the clamp acts, exp is 0 in any precision; the clamp keeps 0·∞ out of the gradients
        envelope = -squared / (self.cutoff_squared - squared).clamp(min=self.cutoff_squared / 1000)
        x = -F.softplus(self.decay) * r  # (E, 1)
        powers = self.order * x + (len(self.order) - 1 - self.order) * (-torch.expm1(x)).log()  # (E, K)
        unit = vectors / r
        products = (unit[:, :, None] * unit[:, None, :]).flatten(1)  # (E, 9)
        angular = torch.cat([torch.ones_like(r), unit, products @ self.harmonics.T], 1)
        return (self.log_binomial + powers + envelope).exp(), angular


class Interaction(nn.Module):
    """One module, eq. 16: local and nonlocal interactions between residual networks, with its own output."""

    def __init__(self, width: int, radial: int, nonlocal_attention: bool):
        super().__init__()
        self.before, self.after = Residual(width), Residual(width)
        self.local = LocalInteraction(width, radial)
        self.attention = NonlocalAttention(width) if nonlocal_attention else None
        self.output = ResidualMLP(width)

    def forward(
        self, x: Tensor, radial: Tensor, angular: Tensor, i: Tensor, j: Tensor, molecule: Tensor, molecules: int
    ) -> tuple[Tensor, Tensor]:
        """Return features (1, A, F) for the next module, and the output (1, A, F) of this one."""
        x = self.before(x)
        interactions = self.local(x, radial, angular, i, j)
        if self.attention is not None:
            interactions = interactions + self.attention(x, molecule, molecules)
        x = self.after(x + interactions)
        return x, self.output(x)


class LocalInteraction(nn.Module):
    """Messages from the neighbours of an atom, eq. 17–18: sums of s, p and d functions, and their invariants."""

    def __init__(self, width: int, radial: int):
        super().__init__()
        self.atoms = ResidualMLP(width, branches=4)  # kept by the atom; sent through s, p and d
        self.filters = nn.Linear(radial, 3 * width, bias=False)
        self.p, self.d = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.mix = ResidualMLP(width)

    def forward(self, x: Tensor, radial: Tensor, angular: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return interactions (1, A, F) of atoms with features `x` (1, A, F), for `radial` (E, K), `angular` (E, 9)."""
        width = x.shape[-1]
        kept, *sent = self.atoms(x)  # (A, F), 3 × (A, F)
        messages = torch.cat(sent, 1).index_select(0, j) * self.filters(radial)  # (E, 3F)
        s, p, d = messages.split(width, 1)
        y = angular[:, :, None]  # (E, 9, 1)
        s = torch.zeros_like(kept).index_add(0, i, s)  # (A, F)
        p = kept.new_zeros(kept.shape[0], 3, width).index_add(0, i, p[:, None] * y[:, 1:4])  # (A, 3, F)
        d = kept.new_zeros(kept.shape[0], 5, width).index_add(0, i, d[:, None] * y[:, 4:])  # (A, 5, F)
        p1, p2 = self.p(p).chunk(2, -1)
        d1, d2 = self.d(d).chunk(2, -1)
        return self.mix((kept + s + (p1 * p2).sum(1) + (d1 * d2).sum(1))[None])


class NonlocalAttention(nn.Module):
    """Attention between all atoms of a molecule in linear time, by random features of softmax, eq. 19–21 (FAVOR+).

    Two sums over a molecule replace the matrix of its atoms; the reference code has a matrix of all atoms of a batch.
    """

    def __init__(self, width: int):
        super().__init__()
        self.project = ResidualMLP(width, branches=3)
        lengths = torch.randn(width, width).norm(dim=1, keepdim=True)
        self.register_buffer("directions", nn.init.orthogonal_(torch.empty(width, width)) * lengths)

    def forward(self, x: Tensor, molecule: Tensor, molecules: int) -> Tensor:
        """Return, for each atom, the attended features (1, A, F) of its molecule, from features `x` (1, A, F)."""
        query, key, value = self.project(x)  # (A, F) each
        query, key = (
            self._exponents(features) for features in (query, key)
        )  # (A, F), logarithms of the random features
        # the greatest exponents cancel in the ratio: that of the query of an atom, and that of all keys of its molecule
        query = (query - query.detach().amax(1, keepdim=True)).exp()
        top = key.new_full((molecules,), -math.inf).scatter_reduce(0, molecule, key.detach().amax(1), "amax")
        key = (key - top.index_select(0, molecule)[:, None]).exp()
        width = value.shape[1]
        total = key.new_zeros(molecules, width).index_add(0, molecule, key)  # (M, F)
        weighted = key.new_zeros(molecules, width, width).index_add(0, molecule, key[:, :, None] * value[:, None, :])
        attended = (query[:, :, None] * weighted.index_select(0, molecule)).sum(1)  # (A, F)
        return (attended / (query * total.index_select(0, molecule)).sum(1, keepdim=True))[None]

    def _exponents(self, features: Tensor) -> Tensor:
        scaled = features * features.shape[1] ** -0.25
        return scaled @ self.directions.T - scaled.square().sum(1, keepdim=True) / 2


class ElectronicEmbedding(nn.Module):
    """The charge or the unpaired electrons of a molecule, distributed over its atoms by their elements, eq. 8–9."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key, self.value = (
            nn.Parameter(torch.randn(2, width)),
            nn.Parameter(torch.randn(2, width)),
        )  # by sign of the amount
        self.mlp = ResidualMLP(width, bias=False)  # without biases, an amount of 0 adds 0

    def forward(self, elements: Tensor, amount: Tensor, molecule: Tensor) -> Tensor:
        """Return features (1, A, F) to add to those of the `elements` (1, A, F), for an `amount` (M,)."""
        sign = (amount < 0).long().index_select(0, molecule)  # (A,)
        query = self.query(elements[0])  # (A, F)
        share = F.softplus((query * self.key[sign]).sum(1) / math.sqrt(query.shape[1]))  # (A,)
        total = share.new_zeros(amount.shape[0]).index_add(0, molecule, share)
        share = share * (amount / total).index_select(0, molecule)
        return self.mlp((share[:, None] * self.value[sign])[None])


class ResidualMLP(nn.Module):
    """A residual block, an activation and a linear layer; each branch has its own weights."""

    def __init__(self, width: int, branches: int = 1, bias: bool = True):
        super().__init__()
        self.residual = Residual(width, branches, bias)
        self.activation = LearnedSiLU(width, branches)
        self.linear = Linears(width, branches, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (branches, A, F) from `x` (1, A, F)."""
        return self.linear(self.activation(self.residual(x)))


class Residual(nn.Module):
    """Two layers, activations first, whose result is added to their input, eq. 4. Initially the identity."""

    def __init__(self, width: int, branches: int = 1, bias: bool = True):
        super().__init__()
        self.activation1, self.linear1 = LearnedSiLU(width, branches), Linears(width, branches, bias)
        self.activation2, self.linear2 = LearnedSiLU(width, branches), Linears(width, branches, bias)
        nn.init.zeros_(self.linear2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (branches, A, F) from `x` (1, A, F) or (branches, A, F)."""
        return x + self.linear2(self.activation2(self.linear1(self.activation1(x))))


class LearnedSiLU(nn.Module):
    """α·x·sigmoid(β·x), eq. 3, as (α/β)·silu(β·x), with α and β learnt per feature; initially close to a GELU."""

    def __init__(self, width: int, branches: int):
        super().__init__()
        self.width = width
        self.slope = nn.Parameter(torch.full((branches * width,), 1.702))
        self.scale = nn.Parameter(torch.full((branches * width,), 1 / 1.702))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations (branches, A, F) of `x` (1, A, F) or (branches, A, F)."""
        return self.scale.view(-1, 1, self.width) * F.silu(self.slope.view(-1, 1, self.width) * x)


class Linears(nn.Module):
    """Linear layers of several branches in one product."""

    def __init__(self, width: int, branches: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(
            torch.stack([nn.init.orthogonal_(torch.empty(width, width)) for _ in range(branches)])
        )
        self.bias = nn.Parameter(torch.zeros(branches * width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (branches, A, F) from `x` (branches, A, F)."""
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias.view(len(self.weight), 1, -1), x, self.weight)
