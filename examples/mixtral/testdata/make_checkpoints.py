"""Makes small random checkpoints of unusual sizes in testdata/checkpoints, each with reference outputs.

    python make_checkpoints.py

Needs torch, transformers and safetensors. The reference is transformers' MixtralForCausalLM in float32 on the CPU, on the
weights as they are saved. golden.safetensors of each folder holds input_ids (T), logits (T,V) after each of them, the router
logits router.0, router.1… (T,E) of each layer, and greedy_ids: the first prompt_len ids and their greedy continuation.
"""

import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import MixtralConfig, MixtralForCausalLM

TEXT, PROMPT, NEW = 17, 6, 16

COMMON = {"max_position_embeddings": 40, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": None}

# A head's width that is not hidden/heads, odd widths, tied embeddings, a window shorter than the text, K = E = 3.
TIED_WINDOW = {
    "vocab_size": 37, "hidden_size": 21, "intermediate_size": 13, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 10, "num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 5,
    "tie_word_embeddings": True, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
}  # fmt: skip

# Many experts, K = 4, a key/value head for every query head, head_dim not given, several shards.
MANY_EXPERTS = {
    "vocab_size": 41, "hidden_size": 24, "intermediate_size": 9, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "num_local_experts": 16, "num_experts_per_tok": 4, "sliding_window": None,
    "tie_word_embeddings": False,
}  # fmt: skip

# One layer, one expert a token, one key/value head.
ONE_OF_FIVE = {
    "vocab_size": 29, "hidden_size": 15, "intermediate_size": 7, "num_hidden_layers": 1, "num_attention_heads": 5,
    "num_key_value_heads": 1, "head_dim": 2, "num_local_experts": 5, "num_experts_per_tok": 1, "sliding_window": None,
    "tie_word_embeddings": False,
}  # fmt: skip

# The experts of a layer in one tensor, and a window as long as one token.
STACKED = {
    "vocab_size": 33, "hidden_size": 18, "intermediate_size": 11, "num_hidden_layers": 3, "num_attention_heads": 3,
    "num_key_value_heads": 3, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 1,
    "tie_word_embeddings": True,
}  # fmt: skip

# Folder: config, dtype, arguments of save_pretrained.
CHECKPOINTS = {
    "tied-window-f32": (TIED_WINDOW, torch.float32, {}),
    "many-experts-bf16-sharded": (MANY_EXPERTS, torch.bfloat16, {"max_shard_size": "20KB"}),
    "one-of-five-f16": (ONE_OF_FIVE, torch.float16, {}),
    "stacked-bf16": (STACKED, torch.bfloat16, {"save_original_format": False}),
}


def randomize(model):
    """Weights large enough that every part of the model shows in its logits."""
    for name, p in model.named_parameters():
        values = torch.randn(p.shape)
        p.data = 1 + values / 4 if "norm" in name else values * 1.5 * p.shape[-1] ** -0.5


def clear(logits, chosen):
    """Fails if rounding could change which `chosen` of the logits (…,N) are the largest."""
    top = logits.sort(-1, descending=True).values
    if chosen < logits.shape[-1] and (top[..., chosen - 1] - top[..., chosen]).min() < 1e-3:
        raise SystemExit("a choice is too close: take another seed")


@torch.inference_mode()
def reference(folder, seed):
    """Writes golden.safetensors for the checkpoint in folder."""
    model = MixtralForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    cfg = model.config
    ids = torch.randint(3, cfg.vocab_size, (1, TEXT), generator=torch.Generator().manual_seed(seed))
    out = model(ids, output_router_logits=True)
    greedy = ids[:, :PROMPT]
    for _ in range(NEW):
        logits = model(greedy).logits[0, -1]
        clear(logits, 1)
        greedy = torch.cat((greedy, logits.argmax()[None, None]), 1)
    golden = {
        "input_ids": ids[0].int(),
        "logits": out.logits[0].contiguous(),
        "greedy_ids": greedy[0].int(),
        "prompt_len": torch.tensor([PROMPT]).int(),
    }
    for i, logits in enumerate(out.router_logits):
        clear(logits, cfg.num_experts_per_tok)
        golden[f"router.{i}"] = logits.clone()
    save_file(golden, folder / "golden.safetensors")


def main():
    root = pathlib.Path(__file__).parent / "checkpoints"
    shutil.rmtree(root, ignore_errors=True)
    for seed, (name, (cfg, dtype, saving)) in enumerate(CHECKPOINTS.items()):
        torch.manual_seed(seed)
        model = MixtralForCausalLM(MixtralConfig(**COMMON, **cfg))
        randomize(model)
        model.to(dtype).save_pretrained(root / name, **saving)
        (root / name / "generation_config.json").unlink()
        reference(root / name, seed)


if __name__ == "__main__":
    main()
