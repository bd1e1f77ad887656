"""Mixtral for training: every expert computes every token and the gates of the experts not chosen are zero.

At this size that is faster than gathering rows, and it is the same function as the sparse model. The forward pass reads
each weight rounded to bfloat16, so that the saved bfloat16 checkpoint is exactly the model that was trained.
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

CONFIG = {
    "architectures": ["MixtralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 80,
    "max_position_embeddings": 128,
    "model_type": "mixtral",
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 8,
    "output_router_logits": False,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "router_aux_loss_coef": 0.01,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 408,
}


class Layer(nn.Module):
    """The weights of one decoder layer, those of the experts stacked in the order of the experts."""

    def __init__(self, cfg):
        super().__init__()
        hidden, experts = cfg["hidden_size"], cfg["num_local_experts"]
        head = hidden // cfg["num_attention_heads"]
        kv = cfg["num_key_value_heads"] * head
        wide = experts * cfg["intermediate_size"]
        self.norm_attention, self.norm_experts = (nn.Parameter(torch.ones(hidden)) for _ in range(2))
        self.q, self.k, self.v, self.o = (weight(rows, hidden) for rows in (hidden, kv, kv, hidden))
        self.router = weight(experts, hidden)
        self.w1, self.w3 = weight(wide, hidden), weight(wide, hidden)
        self.w2 = weight(wide, hidden, fan_in=cfg["intermediate_size"])  # of each expert the transpose


def weight(rows, columns, fan_in=None):
    return nn.Parameter(torch.randn(rows, columns) * (fan_in or columns) ** -0.5)


def rounded(w):
    """w as the checkpoint will hold it; the gradient passes unchanged."""
    return w.to(torch.bfloat16).to(w.dtype)


class Mixtral(nn.Module):
    """Logits (B,S,V) of tokens (B,S), and each layer's router logits (B,S,E)."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        hidden = cfg["hidden_size"]
        self.embed = weight(cfg["vocab_size"], hidden)
        self.layers = nn.ModuleList(Layer(cfg) for _ in range(cfg["num_hidden_layers"]))
        self.norm = nn.Parameter(torch.ones(hidden))
        self.head = weight(cfg["vocab_size"], hidden)

    def rms(self, x, scale):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.cfg["rms_norm_eps"]) * rounded(scale)

    def rotation(self, length, device):
        """Cosines and sines (S, D/2) of the rotary embedding's angles."""
        half = self.cfg["hidden_size"] // self.cfg["num_attention_heads"] // 2
        speed = self.cfg["rope_theta"] ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
        angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * speed
        return angle.cos(), angle.sin()

    def attention(self, layer, x, turn):
        batch, length, hidden = x.shape
        heads, kv = self.cfg["num_attention_heads"], self.cfg["num_key_value_heads"]

        def project(w, count):
            return F.linear(x, rounded(w)).view(batch, length, count, -1).transpose(1, 2)

        def rotate(y):
            cos, sin = turn
            a, b = y.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(y.dtype)

        q, k, v = rotate(project(layer.q, heads)), rotate(project(layer.k, kv)), project(layer.v, kv)
        k, v = (y.repeat_interleave(heads // kv, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.linear(y.transpose(1, 2).reshape(batch, length, hidden), rounded(layer.o))

    def gates(self, layer, x):
        """Router logits (B,S,E), and the gates (B,S,E): the softmax over the chosen experts, zero elsewhere."""
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.float(), rounded(layer.router))
            top, ids = logits.topk(self.cfg["num_experts_per_tok"], -1)
            return logits, torch.zeros_like(logits).scatter(-1, ids, top.softmax(-1))

    def experts(self, layer, x, gates):
        hidden = F.silu(F.linear(x, rounded(layer.w1))) * F.linear(x, rounded(layer.w3))
        hidden = hidden.unflatten(-1, (self.cfg["num_local_experts"], -1)) * gates[..., None]
        return hidden.flatten(-2) @ rounded(layer.w2)

    def forward(self, tokens):
        x = F.embedding(tokens, rounded(self.embed))
        turn = self.rotation(tokens.shape[1], tokens.device)
        routers = []
        for layer in self.layers:
            x = x + self.attention(layer, self.rms(x, layer.norm_attention), turn)
            y = self.rms(x, layer.norm_experts)
            logits, gates = self.gates(layer, y)
            routers.append(logits)
            x = x + self.experts(layer, y, gates)
        return F.linear(self.rms(x, self.norm), rounded(self.head)), routers


def checkpoint_names(model):
    """Checkpoint name → view of the parameter it holds, under the names of Mixtral's published checkpoints."""
    width = model.cfg["intermediate_size"]
    names = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.norm, "lm_head.weight": model.head}
    for i, layer in enumerate(model.layers):
        prefix = f"model.layers.{i}."
        names[prefix + "input_layernorm.weight"] = layer.norm_attention
        names[prefix + "post_attention_layernorm.weight"] = layer.norm_experts
        for letter in "qkvo":
            names[prefix + f"self_attn.{letter}_proj.weight"] = getattr(layer, letter)
        names[prefix + "block_sparse_moe.gate.weight"] = layer.router
        for e in range(model.cfg["num_local_experts"]):
            rows = slice(e * width, (e + 1) * width)
            expert = prefix + f"block_sparse_moe.experts.{e}."
            names[expert + "w1.weight"] = layer.w1[rows]
            names[expert + "w2.weight"] = layer.w2[rows].T
            names[expert + "w3.weight"] = layer.w3[rows]
    return names


def save(model, folder):
    """Writes config.json and model.safetensors (bfloat16)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.cfg, indent=2) + "\n")
    tensors = {
        name: view.detach().to("cpu", torch.bfloat16).contiguous() for name, view in checkpoint_names(model).items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder):
    """The model that save wrote, with float32 parameters that hold the bfloat16 values."""
    folder = pathlib.Path(folder)
    model = Mixtral(json.loads((folder / "config.json").read_text()))
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for name, view in checkpoint_names(model).items():
            view.copy_(tensors[name])
    return model
