"""Greedy decoding of fresh instances of every task, in float32 on the bfloat16 weights.

    python evaluate.py ../model
"""

import argparse
import pathlib
import random

import torch
from tokenizers import Tokenizer

import data
import tasks
import tokenizer
from model import load

LIMIT = 64  # tokens of prompt and answer


@torch.inference_mode()
def generate(model, tok, prompts):
    """The token ids of the answers, each up to and including </s> (or cut at LIMIT tokens in all)."""
    device = model.embed.device
    eos = tok.token_to_id(tokenizer.EOS)
    encoded = [e.ids for e in tok.encode_batch(prompts)]
    rows = torch.full((len(prompts), LIMIT + 1), data.PAD, dtype=torch.int64)
    for row, ids in zip(rows, encoded, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    rows, ends = rows.to(device), torch.tensor([len(ids) for ids in encoded], device=device)
    starts, index = ends.tolist(), torch.arange(len(prompts), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    while not bool(done.all()):
        logits, _ = model(rows[:, : int(ends.max())])
        token = logits[index, ends - 1].argmax(-1)
        rows[index, ends] = torch.where(done, rows[index, ends], token)
        done |= token == eos
        ends = torch.where(done, ends, ends + 1)
        done |= ends == LIMIT
    answers = []
    for row, start in zip(rows.tolist(), starts, strict=True):
        answer = row[start:LIMIT]
        answers.append(answer[: answer.index(eos) + 1] if eos in answer else answer)
    return answers


def right(model, tok, pairs):
    """How many of the (prompt, answer) pairs the model answers exactly, </s> included."""
    count = 0
    for i in range(0, len(pairs), 1024):
        part = pairs[i : i + 1024]
        outputs = generate(model, tok, [prompt for prompt, _ in part])
        for ids, (_, answer) in zip(outputs, part, strict=True):
            count += ids[-1] == tok.token_to_id(tokenizer.EOS) and tok.decode(ids) == answer
    return count


@torch.inference_mode()
def load_shares(model, tok, prompts):
    """Each layer's shares of the chosen slots, one row a layer and one column an expert, over the prompts' tokens."""
    counts = 0
    for encoding in tok.encode_batch(prompts):
        _, routers = model(torch.tensor([encoding.ids], device=model.embed.device))
        chosen = torch.stack([x.topk(model.cfg["num_experts_per_tok"], -1).indices.flatten() for x in routers])
        counts = counts + torch.nn.functional.one_hot(chosen, model.cfg["num_local_experts"]).sum(1)
    return counts / counts.sum(1, keepdim=True)


def report(model, tok, count):
    """Prints the accuracy on `count` instances of every task, held out and as they come, and the experts' load."""
    print(f"{'task':8s} {'held out':>9s} {'any':>9s}")
    total, sample = [0, 0], []
    for task in tasks.TASKS:
        rng = random.Random(f"evaluate {task}")
        held = [tasks.draw(rng, task, wanted=True) for _ in range(count)]
        any_ = [tasks.TASKS[task](rng) for _ in range(count)]
        scores = [right(model, tok, pairs) for pairs in (held, any_)]
        total = [a + b for a, b in zip(total, scores, strict=True)]
        sample += [prompt for prompt, _ in any_[:20]]
        print(f"{task:8s} {scores[0] / count:9.2%} {scores[1] / count:9.2%}", flush=True)
    print(f"{'all':8s} {total[0] / count / len(tasks.TASKS):9.2%} {total[1] / count / len(tasks.TASKS):9.2%}")
    for i, shares in enumerate(load_shares(model, tok, sample).tolist()):
        print(f"layer {i} load " + " ".join(f"{share:.1%}" for share in shares))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of the checkpoint")
    parser.add_argument("--check", type=int, default=200, help="instances of each task")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tok = Tokenizer.from_file(str(pathlib.Path(args.model) / "tokenizer.json"))
    report(load(args.model).to(device), tok, args.check)


if __name__ == "__main__":
    main()
