"""Generating: the cache changes nothing, random numbers mean what they should, and mistakes are named."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.files import read_json, write_json
from chemscale.generation.generate import generate, shares
from chemscale.generation.metrics import diversity
from chemscale.generation.sampling import next_tokens, sample
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.models.chemgpt_slim import slim
from chemscale.models.family import GPTShape
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import BOS, EOS, PAD, SPECIAL, UNK
from chemscale.training.run import train_cell

GLOBAL = GPTShape(layers=2, heads=2, width=16, context=40)
LOCAL = GPTShape(layers=3, heads=2, width=16, context=40, window=5)
VOCABULARY = [*SPECIAL, "[Branch1]", "[C]", "[N]", "[O]", "[Ring1]", "[=C]", "[=Branch1]"]


def random_model(shape: GPTShape, seed: int = 0) -> ChemGPT:
    """Matrices and embeddings ten times as large as at the start of a training, so that what is seen matters."""
    torch.manual_seed(seed)
    model = ChemGPT(shape, 30).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(10)
    return model


@pytest.mark.parametrize("shape", [GLOBAL, LOCAL], ids=["global", "local"])
@pytest.mark.parametrize("parts", [[1] * 24, [10, *[1] * 14], [3, 9, 12]], ids=["single", "prefix", "parts"])
def test_cached_logits_are_those_of_the_whole_sequence(shape, parts):
    model = random_model(shape)
    tokens = torch.randint(5, 30, (4, 24), generator=torch.Generator().manual_seed(1))
    caches = model.caches(24)
    with torch.no_grad():
        whole = model(tokens)
        cached = torch.cat([model(part, caches) for part in tokens.split(parts, 1)], 1)
    assert whole.std() > 0.5
    torch.testing.assert_close(cached, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [GLOBAL, LOCAL], ids=["global", "local"])
@torch.no_grad()
def test_greedy_molecules_are_those_without_a_cache(shape):
    model = random_model(shape)
    # of unequal lengths, in no order; molecules that end early leave the batch before the others
    prefixes = [[BOS, *range(5, 5 + n)] for n in (3, 0, 3, 7, 0)] + [[BOS, token, token] for token in range(5, 30)]
    for prefix, molecule in zip(prefixes, sample(model, prefixes, temperature=0, batch=16), strict=True):
        tokens = list(prefix)
        while tokens[-1] != EOS and len(tokens) <= shape.context:
            logits = model(torch.tensor([tokens]))[0, -1]
            logits[[PAD, BOS, UNK]] = -torch.inf
            tokens.append(int(logits.argmax()))
        assert molecule == tokens


def test_molecules_depend_on_the_seed_and_not_on_the_batch():
    model = random_model(GLOBAL)
    drawn = [sample(model, [[BOS]] * 20, temperature=3, batch=batch, max_tokens=30) for batch in (20, 7, 1)]
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0] != sample(model, [[BOS]] * 20, temperature=3, seed=1, max_tokens=30)
    ended = [molecule[-1] == EOS for molecule in drawn[0]]
    assert 0 < sum(ended) < 20 and all(end or len(m) == 30 for m, end in zip(drawn[0], ended, strict=True))
    assert not {PAD, BOS, UNK} & {token for molecule in drawn[0] for token in molecule[1:]}
    assert all(EOS not in molecule[:-1] for molecule in drawn[0])


def frequencies(**settings) -> list[float]:
    """Shares of tokens drawn with probabilities 0.4, 0.3, 0.2, 0.1 of tokens 5 to 8, and lots for those never drawn."""
    logits = torch.log(torch.tensor([9, 9, 1e-9, 9, 1e-9, 0.4, 0.3, 0.2, 0.1])).expand(10_000, 9)
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    return (torch.bincount(next_tokens(logits, uniforms, **settings), minlength=9)[5:] / 1e4).tolist()


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"temperature": 1}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"temperature": 1, "top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"temperature": 1, "top_p": 0.69}, [4 / 7, 3 / 7, 0, 0]),
        ({"temperature": 1, "top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"temperature": 1, "top_k": 2, "top_p": 0.5}, [1, 0, 0, 0]),
        ({"temperature": 1, "top_k": 100, "top_p": 1.0}, [0.4, 0.3, 0.2, 0.1]),
    ],
    ids=str,
)
def test_tokens_are_drawn_with_their_probabilities(settings, right):
    assert frequencies(**settings) == pytest.approx(right, abs=2e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature = -1: must be 0 or more"),
        ({"top_k": 0}, "top-k = 0: must be"),
        ({"top_p": 1.5}, "top-p = 1.5: must be"),
        ({"batch": 0}, "batch = 0: must be"),
        ({"max_tokens": 42}, "max-tokens = 42: must be 3 to 41 .the model's context and"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ChemscaleError, match=message):
        sample(random_model(LOCAL), [[BOS]], **settings)


def test_a_prefix_without_room_is_refused():
    assert len(sample(random_model(LOCAL), [[BOS] + [6] * 39])[0]) == 41
    with pytest.raises(ChemscaleError, match=r"prefix: 41 tokens with \[BOS\] leave no room in 41; use at most 40"):
        sample(random_model(LOCAL), [[BOS] + [6] * 40])


def table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["smiles", "valid", "novel", "finished"]).astype(
        {"valid": bool, "novel": "boolean"}
    )


def test_shares_of_a_known_list():
    """Eight: five valid ones of three kinds, of which two are novel; one not ended; two that ended but are nothing."""
    rows = [("CCO", True, True, True)] * 3 + [("CCN", True, False, True), ("CCC", True, True, True)]
    rows += [("CCCC", False, None, False), (None, False, None, True), (None, False, None, True)]
    found = shares(table(rows))
    assert found.pop("generated_diversity") == diversity(["CCO"] * 3 + ["CCN", "CCC"])
    assert {name: estimate.value for name, estimate in found.items()} == {
        "generated_ended": 7 / 8,
        "generated_valid": 5 / 8,
        "generated_unique": 3 / 5,
        "generated_novel": 2 / 3,
    }


def test_novelty_is_unknown_without_a_corpus_and_all_without_molecules():
    assert shares(table([("CCO", True, None, True)]))["generated_novel"] == (None, None, None)
    nothing = shares(table([]))
    assert set(nothing.values()) == {(None, None, None)}


@pytest.fixture(scope="module")
def record(tiny_corpus, tmp_path_factory):
    """A record like that of a run, of a model that says [C][C][O] and ends, or after eight symbols [C] and ends."""
    corpus = open_corpus(tiny_corpus)
    directory = tmp_path_factory.mktemp("record")
    shape, vocabulary = slim(64), corpus.vocabulary
    model = ChemGPT(shape, len(vocabulary))
    for parameter in model.parameters():
        parameter.data.zero_()
    model.ln_f.weight.data.fill_(1)
    model.tokens.weight.data[:, :64] = torch.eye(len(vocabulary), 64)
    # each position's embedding says loudly what comes next
    for position, symbol in enumerate(["[C]", "[C]", "[O]", *["[EOS]"] * 5, "[C]", *["[EOS]"] * 50]):
        model.positions.weight.data[position, vocabulary.index(symbol)] = 50
    description = {"arm": "language", "family": "chemgpt-slim", "width": 64, "scaled": True}
    description |= {"vocabulary": vocabulary, "selfies": corpus.header["versions"]["selfies"]}
    save_file(model.state_dict(), directory / "model.safetensors", metadata={"chemscale": json.dumps(description)})
    write_json(directory / "metrics.json", {"status": "finished", "data": 100, "fingerprint": "f"})
    return directory


def test_a_model_that_knows_one_molecule(record, tiny_corpus, tmp_path, capsys):
    arguments = [record, "--number", 10, "--temperature", 0.1, "--corpus", tiny_corpus, "--out", tmp_path / "s.csv"]
    assert main(list(map(str, ["generate", *arguments]))) == 0
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.columns.tolist() == ["selfies", "smiles", "valid", "novel", "finished"]
    assert set(table["selfies"]) == {"[C][C][O]"} and set(table["smiles"]) == {"CCO"}
    summary = read_json(tmp_path / "s.json")
    assert json.loads(capsys.readouterr().out) == summary
    assert summary["temperature"] == 0.1 and summary["training_molecules"] == 100 and summary["fingerprint"] == "f"
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    novel = float("CCO" not in set(smiles.iloc[open_corpus(tiny_corpus).rows("train", 100)]))
    expected = {"generated_molecules": 10, "generated_ended": 1, "generated_valid": 1, "generated_unique": 0.1}
    expected |= {"generated_novel": novel, "generated_diversity": 0}
    assert {name: summary["quality"][name] for name in expected} == expected
    assert table["novel"].eq(bool(novel)).all()


def test_molecules_cut_off_are_not_valid(record, tmp_path):
    summary = generate(record, tmp_path / "s.parquet", 5, max_tokens=4)
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table["smiles"].eq("CCO").all() and not table["valid"].any() and table["novel"].isna().all()
    quality = summary["quality"]
    assert quality["generated_ended"] == quality["generated_valid"] == 0
    assert quality["generated_unique"] is quality["generated_novel"] is quality["generated_diversity"] is None


def test_a_scaffold_begins_every_molecule_and_its_keeping_is_counted(record, tmp_path):
    """Benzene is eight symbols, so the model goes on to toluene, whose Murcko scaffold is benzene."""
    scaffold = "c1ccccc1"
    quality = generate(record, tmp_path / "s.csv", 5, scaffold=scaffold, temperature=0)["quality"]
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["selfies"].str.startswith("[C][=C][C][=C][C][=C][Ring1][=Branch1]").all()
    assert set(table["smiles"]) == {"Cc1ccccc1"} and quality["scaffold_kept"] == quality["scaffold_equal"] == 1


def test_a_corpus_of_another_vocabulary_or_selfies_version_is_refused(record, tiny_corpus, tmp_path):
    def altered(name: str, change) -> str:
        directory = tmp_path / name
        directory.mkdir()
        for path in tiny_corpus.iterdir():
            if path.is_file() and path.name != "corpus.json":
                (directory / path.name).symlink_to(path)
        header = read_json(tiny_corpus / "corpus.json")
        change(header, directory)
        write_json(directory / "corpus.json", header)
        return directory

    def older(header, directory):
        header["versions"]["selfies"] = "1.0.4"

    with pytest.raises(ChemscaleError, match=r"made with selfies 1\.0\.4, but 2"):
        generate(record, tmp_path / "s.csv", 1, corpus=altered("older", older))

    def other(header, directory):
        from chemscale.files import sha256
        from chemscale.molecules.vocabulary import write_vocabulary

        (directory / "vocabulary.json").unlink()
        write_vocabulary(directory / "vocabulary.json", [*open_corpus(tiny_corpus).vocabulary, "[Xe]"])
        header["sha256"]["vocabulary.json"] = sha256(directory / "vocabulary.json")
        header["vocabulary"]["sha256"] = read_json(directory / "vocabulary.json")["sha256"]

    with pytest.raises(ChemscaleError, match=r"its vocabulary of \d+ symbols is not .*in one only: \[Xe\]"):
        generate(record, tmp_path / "s.csv", 1, corpus=altered("other", other))


def test_an_unknown_kind_of_table_is_refused_before_any_work(record, tmp_path, capsys):
    assert main(["generate", str(record), "--out", str(tmp_path / "s.xlsx")]) == 2
    assert "use a name in .csv or .parquet" in capsys.readouterr().err


def test_a_failed_run_generates_nothing_and_says_why(tmp_path):
    write_json(tmp_path / "metrics.json", {"status": "failed", "reason": "loss not finite", "fingerprint": "f"})
    summary = generate(tmp_path, tmp_path / "s.parquet", 10)
    assert summary["reason"] == "loss not finite" and summary["quality"] == {}
    assert len(pd.read_parquet(tmp_path / "s.parquet")) == 0


@pytest.mark.parametrize("arm", ["language"])
def test_a_trained_model_generates_mostly_molecules(arm, cell_settings, tiny_corpus, tmp_path):
    train_cell(cell_settings, tmp_path / "cell", tmp_path / "state")
    quality = generate(tmp_path / "cell", tmp_path / "s.parquet", 100, corpus=tiny_corpus, max_tokens=64)["quality"]
    assert quality["generated_valid"] > 0.5 and quality["generated_novel"] > 0.5
    assert quality["wasserstein_weight"] > quality["wasserstein_weight_floor"] > 0
