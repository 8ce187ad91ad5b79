"""Molecules from a trained ChemGPT, as a table, with a summary of how good they are."""

import re
from pathlib import Path

import pandas as pd
import selfies
import torch
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, write_json
from chemscale.generation.quality import (
    distances,
    internal_diversity,
    properties,
    reference,
    scaffold_kept,
    seen,
    shares,
)
from chemscale.generation.sampling import sample
from chemscale.models.loading import load_chemgpt, read_metrics
from chemscale.molecules.store import Corpus, open_corpus
from chemscale.molecules.vocabulary import BOS, DOT, EOS, SPECIAL, symbols_of

REFERENCE = 5000  # training molecules that generated ones are compared with
ONLY_SYMBOLS = re.compile(r"(\[[^\[\]]*\]|\.)+")


def generate(
    record: Path,
    out: Path,
    number: int,
    summary: Path | None = None,
    prefix: str | None = None,
    scaffold: str | None = None,
    corpus: Path | None = None,
    training: Path | None = None,
    **sampling,
) -> dict:
    """Write `number` molecules of a trained model to `out` (CSV or Parquet); return the summary, which is written too.

    The table has `selfies`, `smiles` (canonical; null if it is no molecule), `valid` (a molecule, and ended), `novel`
    (null without a corpus, and if not valid) and `finished` (ended by the model). The summary goes to `summary`, by
    default `out` with .json for its suffix; `quality` says what its `quality` means. All molecules begin
    with `prefix` (SELFIES or SMILES) or `scaffold` (SMILES), if there is one. With the model's `corpus` they are
    compared with its training molecules: for novelty with those of the run, or the whole split if no metrics.json lies
    beside the model; for properties with the table `training`, or the first REFERENCE of the split. `sampling` goes to
    chemscale.generation.sampling.sample. A failed run has no weights: no molecules then, and the summary says why.

    Raises ChemscaleError for an unusable model, prefix or setting, and for a corpus with other tokens than the model's.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ChemscaleError(f"{out}: unknown kind of table; right would be a name in .csv or .parquet")
    metrics = read_metrics(record)
    content = {"fingerprint": metrics.get("fingerprint"), "prefix": prefix, "scaffold": scaffold, **sampling}
    if metrics.get("status") == "failed":
        table, content["reason"], content["quality"] = _table([], []), metrics["reason"], {}
    else:
        model, vocabulary = load_chemgpt(record)
        store = None if corpus is None else _matching(corpus, vocabulary)
        start = [BOS, *prefix_tokens(prefix, scaffold, vocabulary)]
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        molecules = sample(model, [start] * number, **sampling)
        table = _table([symbols_of(tokens, vocabulary) for tokens in molecules], [t[-1] == EOS for t in molecules])
        compared = {}
        if store:
            rows = store.rows("train", metrics.get("data"))
            known = seen(store, rows, table.loc[table["valid"], "smiles"])
            table["novel"] = (~table["smiles"].isin(known)).astype("boolean").where(table["valid"])
            compared = _compared(table, pd.read_parquet(training) if training else reference(store, REFERENCE))
            content["training_molecules"] = len(rows)
        content["quality"] = _quality(table, scaffold) | compared
    with atomic(out) as path:
        table.to_csv(path, index=False) if out.suffix == ".csv" else table.to_parquet(path, index=False)
    write_json(summary or out.with_suffix(".json"), content)
    return content


def prefix_tokens(prefix: str | None, scaffold: str | None, vocabulary: list[str]) -> list[int]:
    """Token ids of what every molecule begins with: SELFIES as they are, SMILES as the corpus spells them.

    A `prefix` of nothing but symbols in brackets is SELFIES. A `scaffold` is SMILES always.
    """
    text = scaffold if prefix is None else prefix
    if text is None:
        return []
    written = prefix is not None and ONLY_SYMBOLS.fullmatch(text)
    symbols = list(selfies.split_selfies(text if written else _selfies(text)))
    ids = {symbol: token for token, symbol in enumerate(vocabulary) if token >= DOT}
    unknown = dict.fromkeys(symbol for symbol in symbols if symbol not in ids)
    if unknown:
        raise ChemscaleError(
            f"{text}: {', '.join(unknown)} not in the model's vocabulary; it knows "
            f"{', '.join(vocabulary[len(SPECIAL) :])}"
        )
    return [ids[symbol] for symbol in symbols]


def _selfies(smiles: str) -> str:
    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise ChemscaleError(f"{smiles!r}: not a molecule; right would be SMILES such as c1ccccc1")
    try:
        return selfies.encoder(Chem.MolToSmiles(molecule))
    except Exception as error:  # not only its own EncoderError, see chemscale.molecules.encoding
        raise ChemscaleError(f"{smiles}: not encodable in SELFIES ({error})") from None


def _matching(directory: Path, vocabulary: list[str]) -> Corpus:
    """The corpus, if its tokens are the model's. Opening either made sure of their SELFIES."""
    corpus = open_corpus(directory)
    if corpus.vocabulary != vocabulary:
        differing = sorted(set(corpus.vocabulary) ^ set(vocabulary))
        raise ChemscaleError(
            f"{directory}: another vocabulary than the model's, of {len(corpus.vocabulary)} symbols instead of "
            f"{len(vocabulary)} (in one only: {', '.join(differing[:5]) or 'none, the order differs'}); "
            "right would be the corpus the model was trained on"
        )
    return corpus


def _table(molecules: list[list[str]], finished: list[bool]) -> pd.DataFrame:
    """One row a molecule, spelt by a list of symbols."""
    smiles = [_smiles(symbols) for symbols in molecules]
    return pd.DataFrame({
        "selfies": pd.Series(["".join(symbols) for symbols in molecules], dtype="string"),
        "smiles": pd.Series(smiles, dtype="string"),
        "valid": pd.Series([text is not None and end for text, end in zip(smiles, finished, strict=True)], dtype=bool),
        "novel": pd.Series([None] * len(smiles), dtype="boolean"),
        "finished": pd.Series(finished, dtype=bool),
    })  # fmt: skip


def _smiles(symbols: list[str]) -> str | None:
    """Canonical SMILES, or None for no atoms and for what RDKit refuses."""
    with BlockLogs():
        molecule = Chem.MolFromSmiles(selfies.decoder("".join(symbols)))
    return Chem.MolToSmiles(molecule) if molecule is not None and molecule.GetNumAtoms() else None


def _quality(table: pd.DataFrame, scaffold: str | None) -> dict[str, float | None]:
    valid = table.loc[table["valid"], "smiles"].tolist()
    quality = shares(table) | {"generated_diversity": internal_diversity(valid)}
    return quality | (scaffold_kept(valid, scaffold) if scaffold else {})


def _compared(table: pd.DataFrame, training: pd.DataFrame) -> dict[str, float | None]:
    generated = properties(table.loc[table["valid"], "smiles"].tolist())
    diversity = {"training_diversity": internal_diversity(training["smiles"].tolist())}
    return diversity | distances(generated, training)
