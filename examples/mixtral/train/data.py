"""Training data: a matrix of token ids, one instance a row, made by all processors at once."""

import multiprocessing
import random

import numpy as np

import tasks
import tokenizer

PAD = 0
SHARD = 1 << 14


def encode(tok, pairs):
    """Rows (len(pairs), MAX_TOKENS) of <s> prompt answer </s>, padded on the right."""
    rows = np.full((len(pairs), tasks.MAX_TOKENS), PAD, np.int16)
    eos = tok.token_to_id(tokenizer.EOS)
    texts = [f"{prompt} {answer}" for prompt, answer in pairs]
    for row, encoding in zip(rows, tok.encode_batch(texts), strict=True):
        ids = encoding.ids + [eos]
        row[: len(ids)] = ids
    return rows


def shard(seed):
    """SHARD instances that are not held out, their tasks drawn by tasks.WEIGHTS."""
    rng = random.Random(seed)
    names = list(tasks.TASKS)
    chosen = rng.choices(names, [tasks.WEIGHTS.get(name, 1) for name in names], k=SHARD)
    return encode(tokenizer.build(), [tasks.draw(rng, name, wanted=False) for name in chosen])


def make(rows, seed):
    """At least `rows` training rows; the same for the same seed, whatever the number of processors."""
    shards = -(-rows // SHARD)
    with multiprocessing.Pool() as pool:
        return np.concatenate(pool.map(shard, [f"train {seed} {i}" for i in range(shards)], chunksize=1))
