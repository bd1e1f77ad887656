"""Checks a trained model against transformers' MixtralForCausalLM and writes the golden files.

    python reference.py --model ../model --golden ../testdata/model_golden.safetensors --samples samples.jsonl

Everything is computed in float32, on the CPU, on the bfloat16 weights. The golden file holds, for one prompt with its
answer: input_ids (T), logits (T,V), greedy_ids (the prompt and its greedy continuation, </s> included), and prompt_len.
"""

import argparse
import json
import pathlib
import random

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import MixtralForCausalLM

import evaluate
import tasks
from model import load

GOLDEN = ("words 4207 =", "four thousand two hundred seven")


def greedy(reference, ids):
    """ids and their greedy continuation up to </s>."""
    mask = torch.ones(1, len(ids))
    out = reference.generate(
        torch.tensor([ids]), attention_mask=mask, do_sample=False, max_length=evaluate.LIMIT, pad_token_id=0
    )
    return out[0].tolist()


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="../model")
    parser.add_argument("--golden", default="../testdata/model_golden.safetensors")
    parser.add_argument("--samples", default="samples.jsonl")
    parser.add_argument("--each", type=int, default=9, help="samples of each task")
    args = parser.parse_args()

    tok = Tokenizer.from_file(str(pathlib.Path(args.model) / "tokenizer.json"))
    reference = MixtralForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()
    ours = load(args.model)

    worst, wrong, lines = 0.0, 0, []
    for task in tasks.TASKS:
        rng = random.Random(f"samples {task}")
        for _ in range(args.each):
            prompt, answer = tasks.TASKS[task](rng)
            ids = tok.encode(prompt).ids
            whole = greedy(reference, ids)
            out = whole[len(ids) :]
            if out != evaluate.generate(ours, tok, [prompt])[0]:
                raise SystemExit(f"{prompt}: transformers continues with {out}, the training model does not")
            tokens = torch.tensor([whole])
            worst = max(worst, (reference(tokens).logits - ours(tokens)[0]).abs().max().item())
            wrong += tok.decode(out) != answer
            line = {"task": task, "prompt": prompt, "answer": answer, "prompt_ids": ids, "output_ids": out}
            lines.append(json.dumps(line))
    pathlib.Path(args.samples).write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} samples, {wrong} answered wrongly; largest difference of a logit {worst:.2e}")

    prompt, answer = GOLDEN
    start = tok.encode(prompt).ids
    ids = torch.tensor(tok.encode(f"{prompt} {answer}").ids)
    save_file(
        {
            "input_ids": ids.int(),
            "logits": reference(ids[None]).logits[0].contiguous(),
            "greedy_ids": torch.tensor(greedy(reference, start)).int(),
            "prompt_len": torch.tensor([len(start)]).int(),
        },
        args.golden,
    )


if __name__ == "__main__":
    main()
