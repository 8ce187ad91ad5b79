"""A vocabulary as a fast tokenizer of Hugging Face: the content of its JSON files, written without that library.

Text is SELFIES without spaces; every symbol in brackets and every `.` is a token, anything else [UNK]. Molecules get
[BOS] and [EOS] as in training. Padding is on the right, where plain forward passes need none of it masked or shifted;
generation in batches needs it on the left, and transformers warns when it is not.
"""

from chemscale.molecules.vocabulary import BOS, EOS, PAD, SPECIAL, UNK

SPECIAL_IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
SYMBOL = r"\[[^\]]*\]|\."


def tokenizer(vocabulary: list[str]) -> dict:
    """Content of `tokenizer.json`: ids are places in the vocabulary, decoding joins symbols without spaces."""
    molecule = [_special(BOS), {"Sequence": {"id": "A", "type_id": 0}}, _special(EOS)]
    other = [_special(BOS), {"Sequence": {"id": "B", "type_id": 0}}, _special(EOS)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token) for token in (PAD, BOS, EOS, UNK)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": SYMBOL}, "behavior": "Isolated", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": molecule,
            "pair": molecule + other,
            "special_tokens": {
                SPECIAL[token]: {"id": SPECIAL[token], "ids": [token], "tokens": [SPECIAL[token]]}
                for token in (BOS, EOS)
            },
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {symbol: token for token, symbol in enumerate(vocabulary)},
            "unk_token": SPECIAL[UNK],
        },
    }


def tokenizer_config(context: int) -> dict:
    """Content of `tokenizer_config.json` for sequences of at most `context` tokens."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        # without token types: GPT-Neo would add the embeddings of tokens 0 and 1 for them
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "unk_token": SPECIAL[UNK],
    }


def _special(token: int) -> dict:
    return {"SpecialToken": {"id": SPECIAL[token], "type_id": 0}}


def _added(token: int) -> dict:
    return {
        "id": token,
        "content": SPECIAL[token],
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
