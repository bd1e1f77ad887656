"""Builds tokenizer.json: the pipeline of Mixtral's tokenizer over a vocabulary of 408 tokens.

Ids 0 to 2 are <unk>, <s> and </s>; 3 to 258 are the bytes; then come the space mark and the printable ASCII characters,
one token each, so that a model sees the letters of a word and the digits of a number. The merges join the space mark to
a letter, "=" or "-" that follows it. A digit is never merged.
"""

import json
import string

from tokenizers import Tokenizer

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
SPACE = "\u2581"
MERGED = string.ascii_lowercase + string.ascii_uppercase + "=-"


def build():
    """The tokenizer as a tokenizers.Tokenizer; its ids are a pure function of this file."""
    characters = [chr(c) for c in range(0x21, 0x7F)]
    vocab = [UNK, BOS, EOS] + [f"<0x{b:02X}>" for b in range(256)]
    vocab += [SPACE] + characters + [SPACE + c for c in MERGED]
    bos = {"SpecialToken": {"id": BOS, "type_id": 0}}
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i, content in enumerate((UNK, BOS, EOS))
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                bos,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": BOS, "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {BOS: {"id": BOS, "ids": [1], "tokens": [BOS]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNK,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(vocab)},
            "merges": [[SPACE, c] for c in MERGED],
        },
    }
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
