"""Embed molecules: the vectors that a trained ChemGPT computes before its head."""

import logging
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import selfies
import torch

from chemscale.embedding.neighbours import neighbour_agreement
from chemscale.errors import ChemscaleError, counted
from chemscale.files import atomic, no_file, write_json
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.loading import load_chemgpt
from chemscale.molecules.batches import cut
from chemscale.molecules.encoding import translate
from chemscale.molecules.reading import layout_of, read_lines
from chemscale.molecules.vocabulary import BOS, EOS, PAD, UNK
from chemscale.progress import progress

LOG = logging.getLogger(__name__)

BATCH_TOKENS = 8192  # including padding
POOLS = ("mean", "last")


class Molecule(NamedTuple):
    """A line of a file, as the model reads it, or with the reason why it cannot."""

    text: str  # SMILES as read
    smiles: str | None  # canonical; None if refused
    tokens: list[int]  # from [BOS] to [EOS]
    reason: str | None

    @property
    def unknown(self) -> int:
        """The number of symbols that the model's vocabulary lacks."""
        return self.tokens.count(UNK)


def embed(
    path: Path | str,
    molecules: Path | str,
    out: Path | str,
    pool: str = "mean",
    column: str | None = None,
    neighbours: int | None = None,
) -> None:
    """Embed the molecules of a file by the trained model of the record `path`, width W, pooled as in `embeddings`.

    `out` is a `.parquet` with one row per line, in their order: smiles (as read), reason (of a refusal, else null),
    unknown (number of symbols that the model's vocabulary lacks) and embedding (W numbers, null for a refused line); or
    a `.npy`, float32 (accepted molecules, W). With `neighbours`, the result of `neighbour_agreement` is written to a
    JSON file beside it. Refusals are counted in the log. Raises ChemscaleError for another suffix of `out`, a file
    without a molecule, and whatever `load_chemgpt`, `read_lines` and `neighbour_agreement` refuse.
    """
    molecules, out = Path(molecules), Path(out)
    if out.suffix not in (".parquet", ".npy"):
        raise ChemscaleError(f"{out}: cannot infer the format of the embeddings; use a name in .parquet or .npy")
    model, vocabulary = load_chemgpt(path)
    read = read_molecules(molecules, column, vocabulary, model.shape.context)
    accepted = [molecule for molecule in read if not molecule.reason]
    _report(molecules, read, accepted)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    vectors = embeddings(model, [molecule.tokens for molecule in accepted], pool)  # (N, W)
    if neighbours is not None:
        agreement = neighbour_agreement(vectors, [molecule.smiles or "" for molecule in accepted], neighbours)
        write_json(out.with_suffix(".neighbours.json"), {"pool": pool, **agreement})
    with atomic(out) as temporary:
        if out.suffix == ".npy":
            np.save(temporary, vectors)
        else:
            pq.write_table(_table(read, vectors), temporary)


def read_molecules(path: Path, column: str | None, vocabulary: list[str], context: int) -> list[Molecule]:
    """Return every record of a file of molecules; the accepted ones have at most `context` tokens."""
    if not path.is_file():
        raise no_file(path)
    layout = layout_of(path, column=column)
    texts = [line.text for line in read_lines(path, layout)]
    ids = {symbol: token for token, symbol in enumerate(vocabulary)}
    read = []
    for text, (smiles, encoded, reason) in zip(texts, translate(texts, context, sdf=layout.form == "sdf"), strict=True):
        tokens = [] if reason else [BOS, *(ids.get(symbol, UNK) for symbol in selfies.split_selfies(encoded)), EOS]
        read.append(Molecule(text, None if reason else smiles, tokens, reason))
    return read


@torch.no_grad()
def embeddings(model: ChemGPT, molecules: list[list[int]], pool: str) -> np.ndarray:
    """Return the embeddings (N, W) float32 of molecules as token ids, each from [BOS] to [EOS].

    They are outputs of the last LayerNorm. `mean` averages them over the molecule's own symbols: [BOS] sees only
    itself, so that it would add the same vector to every molecule, and the output of [EOS] was never trained, since it
    predicts nothing. `last` takes the output of [EOS] nonetheless: it is the only token that sees the complete
    molecule, and the usual choice for decoders. Padding changes neither.
    """
    if pool not in POOLS:
        raise ChemscaleError(f"pool = {pool!r}: unknown; use {' or '.join(POOLS)}")
    device = model.tokens.weight.device
    lengths = np.array([len(tokens) for tokens in molecules])
    order = np.argsort(lengths, kind="stable")
    vectors = np.empty((len(molecules), model.shape.width), np.float32)
    with progress(len(molecules), "embed", "molecules") as tick:
        for part in cut(lengths[order], BATCH_TOKENS):
            rows = order[part]  # (B,)
            padded = np.full((len(rows), lengths[rows].max()), PAD)  # (B, T)
            for place, row in enumerate(rows):
                padded[place, : lengths[row]] = molecules[row]
            tokens = torch.from_numpy(padded).to(device)
            counted = (tokens == EOS) if pool == "last" else (tokens != PAD) & (tokens != BOS) & (tokens != EOS)
            weights = counted / counted.sum(1, keepdim=True)  # (B, T)
            vectors[rows] = torch.einsum("bt,btw->bw", weights, model.features(tokens)).cpu().numpy()
            tick(len(rows))
    return vectors


def _report(path: Path, read: list[Molecule], accepted: list[Molecule]) -> None:
    reasons = counted(dict(Counter(molecule.reason for molecule in read if molecule.reason).most_common()))
    if not accepted:
        raise ChemscaleError(
            f"{path}: none of {len(read):,} lines is a molecule ({reasons or 'the file is empty'}); use a file of "
            "SMILES, or name the column with --column"
        )
    unknown = sum(molecule.unknown > 0 for molecule in accepted)
    LOG.info(
        f"{path}: {len(accepted):,} molecules from {len(read):,} lines, {unknown:,} with symbols unknown to the "
        f"model; refused: {reasons or 'none'}"
    )


def _table(read: list[Molecule], vectors: np.ndarray) -> pa.Table:
    rows = iter(vectors)
    columns = {
        "smiles": pa.array([molecule.text for molecule in read], pa.string()),
        "reason": pa.array([molecule.reason for molecule in read], pa.string()),
        "unknown": pa.array([molecule.unknown for molecule in read], pa.int32()),
        "embedding": pa.array([None if molecule.reason else next(rows) for molecule in read], pa.list_(pa.float32())),
    }
    return pa.table(columns)
