"""Generate molecules with a trained ChemGPT: a table, and a summary of their quality."""

import re
from pathlib import Path

import pandas as pd
import selfies
import torch

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, write_json
from chemscale.generation.quality import (
    distances,
    internal_diversity,
    properties,
    reference,
    scaffold_kept,
    shares,
)
from chemscale.generation.sampling import sample
from chemscale.models.loading import load_chemgpt, read_metrics
from chemscale.molecules.encoding import to_selfies, to_smiles
from chemscale.molecules.identity import canonical_smiles
from chemscale.molecules.store import Corpus, open_corpus
from chemscale.molecules.vocabulary import BOS, DOT, EOS, SPECIAL, symbols_of

REFERENCE_MOLECULES = 5000  # training molecules that generated ones are compared with
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
    """Write `number` molecules of a trained model to `out` (CSV or Parquet); write and return a summary.

    The table has `selfies`, `smiles` (canonical; null if no molecule), `valid` (a molecule, and ended), `novel`
    (null without a corpus, and if not valid) and `finished` (ended by the model). The summary goes to `summary`, by
    default `out` with the suffix .json; chemscale.generation.quality defines its `quality`. All molecules begin with
    `prefix` (SELFIES or SMILES) or `scaffold` (SMILES), if given. With the model's `corpus` they are compared with its
    training molecules: novelty with those of the run, or the complete split if no metrics.json lies beside the model;
    properties with the table `training`, or the first REFERENCE_MOLECULES of the split. `sampling` goes to
    chemscale.generation.sampling.sample. A failed run has no weights: the table is empty, and the summary says why.

    Raises ChemscaleError for an unusable model, prefix or setting, and for a corpus whose tokens are not the model's.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ChemscaleError(f"{out}: cannot infer the format of the table; use a name in .csv or .parquet")
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
            known = store.seen(rows, table.loc[table["valid"], "smiles"])
            table["novel"] = (~table["smiles"].isin(known)).astype("boolean").where(table["valid"])
            compared = _compared(
                table, pd.read_parquet(training) if training else reference(store, REFERENCE_MOLECULES)
            )
            content["training_molecules"] = len(rows)
        content["quality"] = _quality(table, scaffold) | compared
    with atomic(out) as path:
        table.to_csv(path, index=False) if out.suffix == ".csv" else table.to_parquet(path, index=False)
    write_json(summary or out.with_suffix(".json"), content)
    return content


def prefix_tokens(prefix: str | None, scaffold: str | None, vocabulary: list[str]) -> list[int]:
    """Return the token ids that every molecule begins with: SELFIES as they are, SMILES as the corpus spells them.

    A `prefix` of symbols in brackets alone is SELFIES. A `scaffold` is always SMILES.
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
            f"{text}: {', '.join(unknown)} not in the model's vocabulary; use only "
            f"{', '.join(vocabulary[len(SPECIAL) :])}"
        )
    return [ids[symbol] for symbol in symbols]


def _selfies(smiles: str) -> str:
    canonical, reason = canonical_smiles(smiles)
    if not canonical:
        raise ChemscaleError(f"{smiles!r}: {reason or 'no atoms'}; expected SMILES such as c1ccccc1")
    encoded = to_selfies(canonical)
    if encoded is None:
        raise ChemscaleError(f"{smiles!r}: not encodable in SELFIES; use another molecule")
    return encoded


def _matching(directory: Path, vocabulary: list[str]) -> Corpus:
    """Return the corpus, if its tokens are the model's. Opening either has verified their version of selfies."""
    corpus = open_corpus(directory)
    if corpus.vocabulary != vocabulary:
        differing = sorted(set(corpus.vocabulary) ^ set(vocabulary))
        raise ChemscaleError(
            f"{directory}: its vocabulary of {len(corpus.vocabulary)} symbols is not the model's of {len(vocabulary)} "
            f"(in one only: {', '.join(differing[:5]) or 'none, the order differs'}); use the corpus "
            "that the model was trained on"
        )
    return corpus


def _table(molecules: list[list[str]], finished: list[bool]) -> pd.DataFrame:
    """Return one row per molecule, which is spelt by a list of symbols."""
    smiles = [to_smiles(symbols) for symbols in molecules]
    return pd.DataFrame({
        "selfies": pd.Series(["".join(symbols) for symbols in molecules], dtype="string"),
        "smiles": pd.Series(smiles, dtype="string"),
        "valid": pd.Series([text is not None and end for text, end in zip(smiles, finished, strict=True)], dtype=bool),
        "novel": pd.Series([None] * len(smiles), dtype="boolean"),
        "finished": pd.Series(finished, dtype=bool),
    })  # fmt: skip


def _quality(table: pd.DataFrame, scaffold: str | None) -> dict[str, float | None]:
    valid = table.loc[table["valid"], "smiles"].tolist()
    quality = shares(table) | {"generated_diversity": internal_diversity(valid)}
    return quality | (scaffold_kept(valid, scaffold) if scaffold else {})


def _compared(table: pd.DataFrame, training: pd.DataFrame) -> dict[str, float | None]:
    generated = properties(table.loc[table["valid"], "smiles"].tolist())
    diversity = {"training_diversity": internal_diversity(training["smiles"].tolist())}
    return diversity | distances(generated, training)
