"""Trains the tiny Mixtral and writes config.json, model.safetensors and tokenizer.json.

    python train.py --out ../model
"""

import argparse
import math
import pathlib
import time

import torch
import torch.nn.functional as F

import data
import evaluate
import tokenizer
from model import CONFIG, Mixtral, load, save


def balance(logits, chosen, weight):
    """Balancing loss of one layer: E · Σ_e (share of tokens sent to e) · (mean probability of e); K when balanced.

    logits (B,S,E); chosen is K, the number of experts a token uses; weight (B,S) is 1 for tokens, 0 for padding.
    """
    experts = logits.shape[-1]
    weight = (weight / weight.sum())[..., None]
    ids = logits.topk(chosen, -1).indices
    share = (F.one_hot(ids, experts).sum(-2) * weight).sum((0, 1))
    return experts * (share * (logits.softmax(-1) * weight).sum((0, 1))).sum()


def losses(model, rows, equals):
    """Cross-entropy of the answers' tokens, and the mean balancing loss of the layers.

    An answer begins after the one token "=" of its row and ends with </s>.
    """
    inputs, targets = rows[:, :-1].long(), rows[:, 1:].long()
    real = targets != data.PAD
    answer = ((inputs == equals).cumsum(1) > 0) & real
    logits, routers = model(inputs)
    each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    cross = (each * answer.flatten()).sum() / answer.sum()
    chosen = model.cfg["num_experts_per_tok"]
    return cross, sum(balance(x, chosen, real.float()) for x in routers) / len(routers)


class Trainer:
    """AdamW on a fixed set of rows. On a GPU one step is compiled and replayed as a CUDA graph."""

    def __init__(self, model, rows, equals, args):
        self.model, self.rows, self.args = model, rows, args
        self.cuda = rows.is_cuda
        self.equals, self.report = equals, None
        self.losses = torch.compile(losses, dynamic=False) if self.cuda else losses
        self.chosen = torch.zeros(args.batch, dtype=torch.int64, device=rows.device)
        self.rate = torch.zeros((), device=rows.device)
        matrices = [p for p in model.parameters() if p.ndim > 1]
        vectors = [p for p in model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
            lr=self.rate,
            betas=(0.9, 0.98),
            fused=True,
            capturable=self.cuda,
        )
        self.replay = self.capture() if self.cuda else self.step

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.rows.device.type, torch.bfloat16):
            cross, aux = self.losses(self.model, self.rows[self.chosen], self.equals)
        (cross + self.model.cfg["router_aux_loss_coef"] * aux).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.report = torch.stack((cross, aux)).detach()

    def capture(self):
        """Warms up at a learning rate of zero, then records one step."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay

    def run(self):
        """All steps: a linear warm-up, a constant rate, and a linear decay to zero over the last 40%."""
        args, order, used = self.args, None, 0
        began = time.time()
        for i in range(args.steps):
            if order is None or used + args.batch > len(order):
                order, used = torch.randperm(len(self.rows), device=self.rows.device), 0
            self.chosen.copy_(order[used : used + args.batch])
            used += args.batch
            self.rate.fill_(args.rate * min(1, (i + 1) / args.warmup, (args.steps - i) / (0.4 * args.steps)))
            self.replay()
            if (i + 1) % args.every == 0 or i + 1 == args.steps:
                cross, aux = self.report.tolist()
                if not math.isfinite(cross):
                    raise SystemExit(f"step {i + 1}: the loss is {cross}")
                print(f"step {i + 1} loss {cross:.4f} balance {aux:.3f} seconds {time.time() - began:.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="../model", help="folder to write")
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=1 << 22, help="training instances")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--warmup", type=int, default=500, help="steps")
    parser.add_argument("--every", type=int, default=1000, help="steps between two lines of progress")
    parser.add_argument("--check", type=int, default=2000, help="instances of each task to evaluate")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    began = time.time()
    rows = torch.from_numpy(data.make(args.rows, args.seed))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{len(rows)} rows in {time.time() - began:.0f} s; device {device}", flush=True)

    torch.manual_seed(args.seed)
    model = Mixtral(CONFIG).to(device)
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    tok = tokenizer.build()
    trainer = Trainer(model, rows.to(device), tok.token_to_id(tokenizer.SPACE + "="), args)
    print(f"ready after {time.time() - began:.0f} s", flush=True)
    trainer.run()

    save(model, args.out)
    tok.save(str(pathlib.Path(args.out) / "tokenizer.json"))
    evaluate.report(load(args.out).to(device), tok, args.check)
    print(f"all done in {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
