"""Generate molecules with a trained ChemGPT: a table, and a summary of their quality."""

from pathlib import Path

import pandas as pd
import torch

from chemscale.errors import ChemscaleError
from chemscale.files import atomic, write_json
from chemscale.generation.metrics import Estimate, diversity, share, unique
from chemscale.generation.prompts import prefix_tokens, scaffold_kept
from chemscale.generation.properties import distances, properties, reference
from chemscale.generation.sampling import sample
from chemscale.models.loading import load_chemgpt, read_metrics
from chemscale.molecules.encoding import to_smiles
from chemscale.molecules.store import Corpus, open_corpus
from chemscale.molecules.vocabulary import BOS, EOS, symbols_of

REFERENCE_MOLECULES = 5000  # training molecules that generated ones are compared with


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
    default `out` with the suffix .json; `shares`, `distances` and `scaffold_kept` define its `quality`, and `intervals`
    are of the same numbers. All molecules begin with `prefix` (SELFIES or SMILES) or `scaffold` (SMILES), if given, and
    grow from its end only, see chemscale.generation.prompts. With the model's `corpus` they are compared with its
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
            rows = store.rows("train", metrics.get("data"), metrics.get("repetition", 0))
            known = store.seen(rows, table.loc[table["valid"], "smiles"])
            table["novel"] = (~table["smiles"].isin(known)).astype("boolean").where(table["valid"])
            compared = _compared(
                table, pd.read_parquet(training) if training else reference(store, REFERENCE_MOLECULES)
            )
            content["training_molecules"] = len(rows)
        found = shares(table)
        content["quality"] = {"generated_molecules": len(table)} | {name: n.value for name, n in found.items()}
        if scaffold:
            content["quality"] |= scaffold_kept(table.loc[table["valid"], "smiles"].tolist(), scaffold)
        content["quality"] |= compared
        content["intervals"] = {name: [n.low, n.high] for name, n in found.items()}
    with atomic(out) as path:
        table.to_csv(path, index=False) if out.suffix == ".csv" else table.to_parquet(path, index=False)
    write_json(summary or out.with_suffix(".json"), content)
    return content


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


def _compared(table: pd.DataFrame, training: pd.DataFrame) -> dict[str, float | None]:
    generated = properties(table.loc[table["valid"], "smiles"].tolist())
    return {"training_diversity": diversity(training["smiles"].tolist()).value} | distances(generated, training)


def shares(table: pd.DataFrame) -> dict[str, Estimate]:
    """Return metrics of generated molecules in a `table` with columns `smiles`, `valid`, `finished` and `novel`.

    * `generated_ended`: ended by the model with [EOS], of all.
    * `generated_valid`: ended, and decoded to at least one atom that RDKit sanitizes, of all. SELFIES always spell a
      molecule, so that an end is asked for too.
    * `generated_unique`: distinct canonical SMILES, of the valid ones.
    * `generated_novel`: not in the training subset of the model, of the distinct valid ones; None if that is unknown.
    * `generated_diversity`: IntDiv of the valid ones.
    """
    valid = table.loc[table["valid"], "smiles"].tolist()
    distinct = table[table["valid"]].drop_duplicates("smiles")["novel"]
    return {
        "generated_ended": share(table["finished"].sum(), len(table)),
        "generated_valid": share(len(valid), len(table)),
        "generated_unique": unique(valid),
        "generated_novel": Estimate(None) if distinct.isna().any() else share(distinct.sum(), len(distinct)),
        "generated_diversity": diversity(valid),
    }
