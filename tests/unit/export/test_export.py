"""The export opens in transformers without a network, and is the same model there: ids, logits, greedy molecules."""

import os
import re
import socket
import subprocess
import sys

import pandas as pd
import pytest
import torch
from rdkit import Chem

from chemscale.cli import main
from chemscale.export import export
from chemscale.models.chemgpt.network import ChemGPT
from chemscale.molecules.batches import padded
from chemscale.molecules.encoding import translate
from chemscale.molecules.store import open_corpus
from chemscale.molecules.vocabulary import BOS, EOS, PAD, UNK
from chemscale.training.run import train_cell

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def corpus(tiny_corpus):
    return open_corpus(tiny_corpus)


@pytest.fixture(scope="module")
def texts(tiny_corpus) -> list[str]:
    """SELFIES of every molecule of the corpus, in its order."""
    smiles = pd.read_parquet(tiny_corpus / "molecules.parquet")["smiles"]
    return [molecule.selfies for molecule in translate(smiles, 64)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"network asked for: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module", params=[("chemgpt", 16), ("chemgpt-slim", 32)], ids=["chemgpt", "slim"])
def models(request, corpus, write_model, tmp_path_factory):
    """Our model, transformers' out of its export, and the folder."""
    from transformers import AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("export")
    model = write_model(directory / "record", *request.param, corpus.vocabulary)
    export(directory / "record", "hf", directory / "hf")
    return model, AutoModelForCausalLM.from_pretrained(directory / "hf").eval(), directory / "hf"


@pytest.fixture
def tokenizer(models):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models[2])


@torch.no_grad()
def greedy(model: ChemGPT, tokens: list[int], most: int) -> list[int]:
    """Up to `most` tokens more, each the likeliest, until [EOS]."""
    for _ in range(most):
        tokens = [*tokens, model(torch.tensor([tokens]))[0, -1].argmax().item()]
        if tokens[-1] == EOS:
            break
    return tokens


@torch.no_grad()
def test_logits_are_the_same_on_real_molecules(models, tokenizer, corpus, texts):
    ours, theirs, _ = models
    rows = corpus.rows("validation")
    tokens = padded(corpus, rows)
    molecules = [texts[row] + "[EOS]" for row in rows]
    batch = tokenizer(molecules, padding=True, padding_side="right", return_tensors="pt")
    assert batch.input_ids.equal(tokens) and batch.attention_mask.bool().equal(tokens != PAD)
    expected = ours(tokens)
    assert expected.std() > 0.5
    assert (theirs(**batch).logits - expected)[tokens != PAD].abs().max() < 1e-5


@torch.no_grad()
def test_logits_are_the_same_on_a_sequence_longer_than_the_window(models, corpus):
    ours, theirs, _ = models
    tokens = torch.from_numpy(corpus.tokens[:400].astype("int64"))[None]
    expected = ours(tokens)
    assert (theirs(tokens).logits - expected).abs().max() < 1e-5
    if ours.shape.window:  # which is no wonder unless the window matters
        for block in ours.blocks:
            block.attention.window = None
        without = ours(tokens)
        for number, block in enumerate(ours.blocks):
            block.attention.window = ours.shape.window if number % 2 else None
        assert without[:, :256].allclose(expected[:, :256], atol=1e-5)
        assert (without - expected)[:, 256:].abs().max() > 1e-2


def test_ids_are_those_of_the_corpus_and_decode_to_the_text(models, tokenizer, corpus, texts):
    known = 0
    for row, text in enumerate(texts):
        tokens = corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]].tolist()
        assert tokenizer(text + "[EOS]").input_ids == tokens
        assert tokenizer(text).input_ids == tokens[:-1]  # a prompt stays open
        assert tokenizer(text.replace("][", "] [") + "\n").input_ids == tokens[:-1]
        if UNK not in tokens:
            known += 1
            assert tokenizer.decode(tokens, skip_special_tokens=True) == text
    assert known > 0.9 * len(texts)


def test_special_tokens_are_right_in_tokenizer_configuration_and_generation(models, tokenizer, corpus):
    _, theirs, _ = models
    for of in (tokenizer, theirs.config, theirs.generation_config):
        assert (of.pad_token_id, of.bos_token_id, of.eos_token_id) == (PAD, BOS, EOS)
    assert tokenizer.unk_token_id == UNK
    assert len(tokenizer) == theirs.config.vocab_size == len(corpus.vocabulary)
    assert tokenizer.model_max_length == theirs.config.max_position_embeddings == models[0].shape.context
    assert tokenizer("no SELFIES").input_ids == [BOS, UNK]
    assert tokenizer("").input_ids == tokenizer("  ").input_ids == [BOS]


def test_greedy_molecules_are_the_same_alone_and_in_a_batch(models, tokenizer, texts):
    ours, theirs, _ = models
    prompts = ["", *(text[: text.index("]", 12) + 1] for text in texts[:6]), max(texts, key=len)]
    options = {"do_sample": False, "max_new_tokens": 30}
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    together = theirs.generate(**batch, **options)
    for prompt, found in zip(prompts, together, strict=True):
        single = tokenizer(prompt, return_tensors="pt")
        expected = greedy(ours, single.input_ids[0].tolist(), 30)
        assert theirs.generate(**single, **options)[0].tolist() == expected
        assert found[found != PAD].tolist() == [token for token in expected if token != PAD]


def test_the_pipeline_that_the_card_names_continues_prompts_alone_and_in_a_batch(models, tokenizer, texts):
    from transformers import pipeline

    ours, _, folder = models
    pipe = pipeline("text-generation", model=str(folder), do_sample=False, max_new_tokens=20)
    prompts = ["", "[C][C][O]", "[C] [C] [O]", max(texts, key=len)]
    expected = [
        tokenizer.decode(greedy(ours, tokenizer(prompt).input_ids, 20), skip_special_tokens=True) for prompt in prompts
    ]
    for said in ([pipe(prompt)[0] for prompt in prompts], [found[0] for found in pipe(prompts, batch_size=4)]):
        assert [found["generated_text"].replace(" ", "") for found in said] == expected
    assert len(expected[1]) > len(prompts[1])


def test_sampling_draws_from_all_of_the_distribution(models):
    _, theirs, _ = models
    assert theirs.generation_config.do_sample and not theirs.generation_config.top_k


@pytest.mark.parametrize("arm", ["language"])
def test_a_trained_cell_is_exported_with_a_card_whose_code_runs(arm, cell_settings, tmp_path, monkeypatch):
    metrics = train_cell(cell_settings, tmp_path / "record", tmp_path / "checkpoints")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "record", "--to", "hf", "--out", "hf"]) == 0
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "60 molecules" in card and f"{metrics['train_tokens']:,} predicted tokens" in card
    assert f"{metrics['test_loss']:.4f}" in card and f"{metrics['parameters']:,}" in card

    monkeypatch.chdir(tmp_path / "hf")
    names = {}
    torch.manual_seed(0)
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        exec(code, names)
    assert names["logits"].shape == (2, 5, metrics["vocabulary"])
    assert names["found"][1].startswith("[C][C][O]")
    assert all(Chem.MolFromSmiles(smiles) for smiles in names["smiles"])
    # written anew over itself, and what others put beside it stays
    (tmp_path / "hf" / "notes.txt").write_text("mine")
    export(tmp_path / "record" / "model.safetensors", "hf", tmp_path / "hf")
    assert (tmp_path / "hf" / "notes.txt").read_text() == "mine"


def test_exporting_needs_no_transformers(tmp_path, corpus, write_model):
    write_model(tmp_path, "chemgpt-slim", 8, corpus.vocabulary)
    code = (
        "import sys; sys.modules.update(transformers=None, tokenizers=None)\n"
        "from chemscale.export import export; export(sys.argv[1], 'hf', sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path, tmp_path / "hf"], check=True)
    assert (tmp_path / "hf" / "tokenizer.json").exists()


def test_mistakes_are_explained(tmp_path, corpus, write_model, capsys):
    def message(model: str, to: str, out: str) -> str:
        assert main(["export", str(tmp_path / model), "--to", to, "--out", str(tmp_path / out)]) == 2
        return capsys.readouterr().err

    write_model(tmp_path / "record", "chemgpt-slim", 8, corpus.vocabulary)
    write_model(tmp_path / "other", "chemgpt-slim", 8, corpus.vocabulary, arm="potential")
    write_model(tmp_path / "unscaled", "chemgpt-slim", 8, corpus.vocabulary, scaled=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("{}")
    assert "one of hf, ase" in message("record", "onnx", "new")
    assert "not empty and not an earlier export" in message("record", "hf", "full")
    assert "a potential model; this command needs a language model" in message("other", "hf", "new")
    assert "trained before chemgpt-slim scaled its attention" in message("unscaled", "hf", "new")
    assert "no such file" in message("nowhere", "hf", "new")
    assert "is a file" in message("record", "hf", "record/model.safetensors")
    assert not (tmp_path / "new").exists()
