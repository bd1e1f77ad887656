#!/usr/bin/env python3
"""Makes reference.json: texts with the ids and the decodings that the Hugging Face tokenizers library gives.

    pip install tokenizers==0.23.3
    python3 make_golden.py > reference.json

Each variant is one of the checkpoint tokenizers in ../../testdata/golden with some fields set, so that the file needs to
hold the difference only. The random texts come from a fixed seed: the output depends on the version of the library
alone. --texts and --seed make a larger or another set.
"""

import argparse
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer

GOLDEN = pathlib.Path(__file__).resolve().parent / "../../testdata/golden"
MARK = "\u2581"
TINY, MIXTRAL = "public-f32", "mixtral-8x7b-tokenizer"


def token(id, content, **flags):
    entry = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return {**entry, **flags}


SPECIALS = [token(i, c, special=True) for i, c in enumerate(["<unk>", "<s>", "</s>"])]
ADDED = [
    token(600, "<left>", lstrip=True),
    token(601, "<right>", rstrip=True, special=True),
    token(602, "<both>", lstrip=True, rstrip=True),
    token(603, "word", single_word=True),
    token(604, "<a>"),
    token(605, "<a>b", special=True),
    token(606, "in the", normalized=True),
    token(607, "norm", normalized=True, single_word=True),
    token(608, "\u00e9t\u00e9", normalized=True, lstrip=True, rstrip=True),
    token(609, "  ", rstrip=True),
    token(610, "\U0001f642!", special=True),
    token(611, MARK + "x", lstrip=True, single_word=True),
    token(341, "se", normalized=True),
]


def metaspace(**fields):
    return {"type": "Metaspace", "replacement": MARK, **fields}


def replace(find, content):
    return {"type": "Replace", "pattern": {"String": find}, "content": content}


def sequence(key, *steps):
    return {"type": "Sequence", key: list(steps)}


def strip(content, start, stop):
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


def variants():
    """Yields the name, the base and the patch of each variant."""
    base = {name: json.loads((GOLDEN / name / "tokenizer.json").read_text()) for name in (TINY, MIXTRAL)}
    yield "mixtral", MIXTRAL, {}
    yield "tiny", TINY, {}
    yield "string merges", TINY, {"model.merges": [" ".join(m) for m in base[TINY]["model"]["merges"]]}

    tiny_merges = base[TINY]["model"]["merges"]
    yield "reversed ranks", TINY, {"model.merges": [m for m in tiny_merges if len("".join(m)) <= 3][::-1]}
    yield "merge there twice", TINY, {"model.merges": tiny_merges[:40] + tiny_merges[:5]}

    for scheme in "always", "first", "never":
        for split in True, False:
            form = metaspace(prepend_scheme=scheme, split=split)
            patch = {"normalizer": None, "pre_tokenizer": form, "decoder": form}
            if not split:
                patch = {**patch, "added_tokens": SPECIALS + ADDED}
            yield f"metaspace {scheme} {split}", TINY, patch
            if split:
                yield f"mixtral metaspace {scheme}", MIXTRAL, patch
    yield "metaspace add_prefix_space", TINY, {
        "normalizer": None, "pre_tokenizer": metaspace(add_prefix_space=True), "decoder": metaspace(add_prefix_space=True)}
    yield "metaspace never with add_prefix_space", TINY, {
        "normalizer": None, "pre_tokenizer": metaspace(add_prefix_space=True, prepend_scheme="never", str_rep=MARK)}
    yield "metaspace underscore", TINY, {
        "normalizer": None, "pre_tokenizer": {**metaspace(), "replacement": "_"}, "decoder": {**metaspace(), "replacement": "_"}}
    yield "two metaspaces", TINY, {
        "pre_tokenizer": sequence("pretokenizers", metaspace(prepend_scheme="first"), {**metaspace(), "replacement": "_"})}
    for i, steps in enumerate([
        [replace("a", "")],
        [replace("ab", "x")],
        [replace("a", "bb"), {"type": "Prepend", "prepend": "<"}],
        [{"type": "Prepend", "prepend": "th"}, replace("the", "e")],
        [replace("aa", "e"), replace(" ", ""), sequence("normalizers", replace("e", "ss"))],
    ]):
        yield f"first after normalizer {i}", TINY, {
            "normalizer": sequence("normalizers", *steps), "added_tokens": SPECIALS + ADDED[:6],
            "pre_tokenizer": metaspace(prepend_scheme="first"), "decoder": metaspace(prepend_scheme="first")}

    yield "added tokens", TINY, {"added_tokens": SPECIALS + ADDED}
    yield "added tokens, no normalizer", TINY, {"added_tokens": SPECIALS + ADDED, "normalizer": None}
    yield "added tokens, replace only", TINY, {"added_tokens": SPECIALS + ADDED, "normalizer": replace(" ", MARK)}
    yield "added tokens, prepend only", TINY, {
        "added_tokens": SPECIALS + ADDED, "normalizer": {"type": "Prepend", "prepend": MARK}}

    none = {"model.byte_fallback": False}
    yield "no bytes", TINY, none
    yield "no bytes, no fusing", TINY, {**none, "model.fuse_unk": False}
    yield "no bytes, no unknown", TINY, {**none, "model.unk_token": None}
    some = {"model.vocab.<0xE2>": None, "model.vocab.<0x9F>": None}
    yield "some bytes", TINY, some
    yield "some bytes, no fusing", TINY, {**some, "model.fuse_unk": False}
    yield "ignore merges", TINY, {
        "model.ignore_merges": True, "model.merges": tiny_merges[:60], "normalizer": None, "pre_tokenizer": metaspace()}

    spaces = replace(MARK, " ")
    for i, decoder in enumerate([
        None,
        sequence("decoders"),
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        spaces,
        sequence("decoders", spaces, {"type": "Fuse"}, strip(" ", 1, 0)),
        sequence("decoders", spaces, {"type": "ByteFallback"}, {"type": "Fuse"}, strip(" ", 3, 1)),
        sequence("decoders", spaces, strip(" ", 1, 0), {"type": "ByteFallback"}),
        sequence("decoders", {"type": "ByteFallback"}, metaspace()),
        sequence("decoders", {"type": "Fuse"}, metaspace(prepend_scheme="first"), sequence("decoders", strip("s", 1, 1))),
        sequence("decoders", {"type": "Fuse"}, metaspace(prepend_scheme="never"), {"type": "ByteFallback"}),
        sequence("decoders", spaces, {"type": "Fuse"}, replace("the", "<THE>"), replace("e s", ""), {"type": "Fuse"}),
        sequence("decoders", replace("self.", "s"), {"type": "ByteFallback"}, replace("a", MARK), metaspace()),
    ]):
        yield f"decoder {i}", TINY, {"decoder": decoder}

    yield "no template", TINY, {"post_processor": None}
    yield "template both sides", TINY, {"post_processor": {
        "type": "TemplateProcessing", "pair": [],
        "single": [{"SpecialToken": {"id": "open", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "</s>", "type_id": 1}}],
        "special_tokens": {"open": {"id": "open", "ids": [1, 305], "tokens": ["<s>", "["]},
                           "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}}


def patched(file, patch):
    """Sets the fields that patch names by their paths, such as model.vocab.a, and removes those it gives as None."""
    for path, value in patch.items():
        *parents, name = path.split(".", 2)
        target = file
        for parent in parents:
            target = target[parent]
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return file


FIXED = [
    "", " ", "  ", MARK, "a", "Hello, my name is", "  leading and trailing  ", "<s>", "</s> <s>", "<s>a <s> b</s>",
    "\u65e5\u672c\u8a9e", "\U0001f642\U0001f643", "e\u0301\u0301", "line\n\n\tend\r\n", "aab aab", "<a><a>b<a>bb",
]
PIECES = [
    " ", " ", " ", "  ", "   ", "\n", "\t", "\u00a0", "\u0085", "\u3000", "\u200d", "\x00", "\x7f", "\ufeff", MARK, MARK * 2,
    "a", "aa", "ab", "e", "s", "x", "the", " the ", "in the", "self.", "return", "word", "words", "norm", "normal", "_", "_a",
    "\u00e9t\u00e9", "\u00e9", "e\u0301", "\u0663", "\u65e5\u672c", "\u4f60\u597d", "\ud55c\uad6d\uc5b4", "\u0645\u0631\u062d\u0628\u0627",
    "\U0001f642", "\U0001f642!", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001d518", "\U0010ffff", "\u00df", "\u2014", "\u221e",
    "<s>", "</s>", "<unk>", "<0x41>", "<0xE2>", "<left>", "<right>", "<both>", "<a>", "<a>b", "se", "<", ">", "th", "12", "3.5", "'HAVE_",
]


def random_text(rng):
    text = ""
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13])):
        if rng.random() < 0.85:
            text += rng.choice(PIECES)
        else:
            text += chr(rng.choice([rng.randrange(0x20, 0x7F), rng.randrange(0x80, 0xD800), rng.randrange(0x1F300, 0x1FAFF)]))
    return text


def random_ids(rng, size):
    ids = []
    for _ in range(rng.choice([1, 2, 4, 7])):
        run = rng.choice([[rng.randrange(size)], [rng.randrange(3)], [3 + b for b in random_text(rng).encode()[:6]]])
        ids += run
    return [i for i in ids if i < size]


def cases(tokenizer, rng, texts):
    chosen = FIXED + [random_text(rng) for _ in range(texts)]
    for text in dict.fromkeys(chosen):
        add = rng.random() < 0.5
        ids = tokenizer.encode(text, add_special_tokens=add).ids
        case = decoded(tokenizer, ids)
        if case:
            yield {"text": text, "add": add, **case}
    known = set(tokenizer.get_vocab().values())
    for _ in range(texts // 4 + 1):
        ids = [i for i in random_ids(rng, 1 + max(known)) if i in known]
        case = decoded(tokenizer, ids)
        if case:
            yield case


def decoded(tokenizer, ids):
    """The decodings of ids; None where the library's Strip panics because it strips a token from both ends past the middle."""
    try:
        return {"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True),
                "full": tokenizer.decode(ids, skip_special_tokens=False)}
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        return None


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--texts", type=int, default=12, help="random texts for each variant")
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    out = []
    for name, base, patch in variants():
        rng = random.Random(f"{args.seed} {name}")
        raw = patched(json.loads((GOLDEN / base / "tokenizer.json").read_text()), patch)
        tokenizer = Tokenizer.from_str(json.dumps(raw))
        out.append({"name": name, "base": base, "patch": patch, "cases": list(cases(tokenizer, rng, args.texts))})
    lines = [json.dumps(v, ensure_ascii=True, separators=(",", ":")) for v in out]
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
