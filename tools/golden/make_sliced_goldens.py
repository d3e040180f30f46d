#!/usr/bin/env python3
"""Slices the tiny models of tests/data/models a second time, in double precision, and keeps the logits.

Needs torch, safetensors, tokenizers. Run from the source root:

    python tools/golden/make_sliced_goldens.py

This is SliceGPT written from the paper's formulas and the order of steps of its authors' code (layers run
twice, with the matrices as they stand), sharing nothing with compress/. Logits do not depend on the signs of
eigenvectors nor on the orientation of the kept dimensions, so any correct implementation must reproduce them:
  tests/data/sliced/calibration.txt      calibration text; every whole window of LENGTH tokens is used
  tests/data/sliced/golden.json          {"length", "round_interval",
                                          "models": {NAME: {"sparsity", "samples"}}, "prompt": token ids}
  tests/data/sliced/golden.safetensors   NAME: float32 [tokens, vocab], logits of the prompt
"""

import json
import math
import pathlib
import random
from dataclasses import dataclass, field

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

MODELS = pathlib.Path("tests/data/models")
OUT = pathlib.Path("tests/data/sliced")
LENGTH = 64
ROUND_INTERVAL = 8
SPARSITY = {"smollm2": 0.25, "qwen2": 0.4, "opt": 0.25, "phi": 0.3}
PROMPT_TOKENS = 20


@dataclass
class Linear:
    weight: Tensor  # [out, in]
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


@dataclass
class Layer:
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    up: Linear
    down: Linear
    gate: Linear | None
    norms: list[tuple[Tensor, Tensor]]  # scale and offset of the attention's and the MLP's norm
    attention_shortcut: Tensor = field(default_factory=lambda: torch.empty(0))
    mlp_shortcut: Tensor = field(default_factory=lambda: torch.empty(0))


class Model:
    """Weights of one tiny model in double precision, norms folded away."""

    def __init__(self, name: str) -> None:
        self.config = json.loads((MODELS / name / "config.json").read_text())
        self.kind = self.config["model_type"]
        self.state = {k: v.double() for k, v in load_file(MODELS / name / "model.safetensors").items()}
        self.layer_norm = self.kind in ("opt", "phi")
        self.width = self.config["hidden_size"]
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config.get("num_key_value_heads") or self.heads
        self.head_dim = self.config.get("head_dim") or self.width // self.heads
        self.eps = self.config.get("rms_norm_eps", 1e-5)
        self.rotary = {
            "opt": 0,
            "phi": int(self.head_dim * self.config.get("partial_rotary_factor", 0.5)),
        }.get(self.kind, self.head_dim)
        root = "model.decoder." if self.kind == "opt" else "model."
        self.embedding = self.state[root + "embed_tokens.weight"]
        self.positions = self.state.get(root + "embed_positions.weight")
        final = root + {"opt": "final_layer_norm", "phi": "final_layernorm"}.get(self.kind, "norm")
        head = Linear(
            self.state.get("lm_head.weight", self.embedding).clone(),
            self.state.get("lm_head.bias", torch.zeros(self.config["vocab_size"]).double()),
        )
        self.head = head
        self.layers = [self._layer(f"{root}layers.{i}.") for i in range(self.config["num_hidden_layers"])]
        self._fold(self._norm(final), [head])
        if self.layer_norm:
            self.embedding = self.embedding - self.embedding.mean(dim=1, keepdim=True)
            if self.positions is not None:
                self.positions = self.positions - self.positions.mean(dim=1, keepdim=True)

    def _linear(self, name: str) -> Linear:
        weight = self.state[name + ".weight"].clone()
        return Linear(weight, self.state.get(name + ".bias", torch.zeros(weight.shape[0]).double()).clone())

    def _norm(self, name: str) -> tuple[Tensor, Tensor]:
        scale = self.state[name + ".weight"]
        return scale, self.state.get(name + ".bias", torch.zeros_like(scale))

    def _layer(self, root: str) -> Layer:
        names = {
            "opt": ("self_attn.out_proj", "fc1", "fc2", None, "self_attn_layer_norm", "final_layer_norm"),
            "phi": ("self_attn.dense", "mlp.fc1", "mlp.fc2", None, "input_layernorm", "input_layernorm"),
        }.get(
            self.kind,
            (
                "self_attn.o_proj",
                "mlp.up_proj",
                "mlp.down_proj",
                "mlp.gate_proj",
                "input_layernorm",
                "post_attention_layernorm",
            ),
        )
        output, up, down, gate, first, second = names
        layer = Layer(
            *(self._linear(f"{root}self_attn.{part}_proj") for part in "qkv"),
            self._linear(root + output),
            self._linear(root + up),
            self._linear(root + down),
            self._linear(root + gate) if gate else None,
            [self._norm(root + first), self._norm(root + second)],
        )
        self._fold(layer.norms[0], [layer.query, layer.key, layer.value])
        self._fold(layer.norms[1], [layer.up] + ([layer.gate] if layer.gate else []))
        if self.layer_norm:
            for writer in (layer.output, layer.down):
                writer.weight -= writer.weight.mean(dim=0, keepdim=True)
                writer.bias -= writer.bias.mean()
        return layer

    @staticmethod
    def _fold(norm: tuple[Tensor, Tensor], readers: list[Linear]) -> None:
        scale, offset = norm
        for reader in readers:
            reader.bias = reader.bias + reader.weight @ offset
            reader.weight = reader.weight * scale

    def embed(self, tokens: Tensor) -> Tensor:
        x = self.embedding[tokens]
        if self.positions is not None:
            x = x + self.positions[2 : 2 + tokens.shape[-1]]
        return x

    def rms(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).sum(dim=-1, keepdim=True) / self.width + self.eps)

    def rotate(self, x: Tensor) -> Tensor:
        """x [batch, heads, tokens, head_dim]."""
        if self.rotary == 0:
            return x
        theta = self.config.get("rope_theta", 10000.0)
        steps = torch.arange(0, self.rotary, 2).double() / self.rotary
        angles = torch.arange(x.shape[2]).double()[:, None] * theta**-steps
        cos, sin = angles.cos(), angles.sin()
        a, b, rest = x[..., : self.rotary // 2], x[..., self.rotary // 2 : self.rotary], x[..., self.rotary :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)

    def attention(self, layer: Layer, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, tokens, heads, self.head_dim).transpose(1, 2)

        q = self.rotate(split(layer.query(x), self.heads))
        k = self.rotate(split(layer.key(x), self.kv_heads)).repeat_interleave(
            self.heads // self.kv_heads, dim=1
        )
        v = split(layer.value(x), self.kv_heads).repeat_interleave(self.heads // self.kv_heads, dim=1)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), float("-inf"))
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, tokens, -1)
        return layer.output(mixed)

    def mlp(self, layer: Layer, x: Tensor) -> Tensor:
        up = layer.up(x)
        if layer.gate is not None:
            inner = torch.nn.functional.silu(layer.gate(x)) * up
        elif self.kind == "opt":
            inner = torch.relu(up)
        else:
            inner = torch.nn.functional.gelu(up, approximate="tanh")
        return layer.down(inner)

    def middle(self, layer: Layer, x: Tensor) -> Tensor:
        return self.attention(layer, self.rms(x)) + x @ layer.attention_shortcut

    def run(self, layer: Layer, x: Tensor) -> Tensor:
        if self.kind == "phi":
            n = self.rms(x)
            return self.attention(layer, n) + self.mlp(layer, n) + x @ layer.attention_shortcut
        m = self.middle(layer, x)
        return self.mlp(layer, self.rms(m)) + m @ layer.mlp_shortcut

    def logits(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = self.run(layer, x)
        return self.head(self.rms(x))


def pca(signal: Tensor) -> Tensor:
    rows = signal.reshape(-1, signal.shape[-1])
    covariance = rows.T @ rows
    covariance += 0.01 * covariance.diagonal().mean() * torch.eye(covariance.shape[0]).double()
    return torch.linalg.eigh(covariance).eigenvectors.flip(1)


def read_with(basis: Tensor, readers: list[Linear | None]) -> None:
    for reader in readers:
        if reader is not None:
            reader.weight = reader.weight @ basis


def write_with(basis: Tensor, writers: list[Linear]) -> None:
    for writer in writers:
        writer.weight = basis.T @ writer.weight
        writer.bias = writer.bias @ basis


def slice_model(model: Model, tokens: Tensor, width: int) -> None:
    """tokens [samples, LENGTH]; afterwards `model` is the sliced one."""
    signal = model.embed(tokens)
    q = pca(signal)
    model.embedding = (model.embedding @ q)[:, :width]
    if model.positions is not None:
        model.positions = (model.positions @ q)[:, :width]
    for index, layer in enumerate(model.layers):
        last = index == len(model.layers) - 1
        kept = model.width if last else width
        inputs = (signal @ q)[..., :width]
        back = q.T[:width]
        layer.attention_shortcut = back
        if model.kind == "phi":
            read_with(q[:, :width], [layer.query, layer.key, layer.value, layer.up])
            signal = model.run(layer, inputs)
            q = pca(signal)
            write_with(q[:, :kept], [layer.output, layer.down])
            layer.attention_shortcut = back @ q[:, :kept]
            continue
        read_with(q[:, :width], [layer.query, layer.key, layer.value])
        q = pca(model.middle(layer, inputs))
        layer.attention_shortcut = back @ q[:, :width]
        write_with(q[:, :width], [layer.output])
        read_with(q[:, :width], [layer.gate, layer.up])
        layer.mlp_shortcut = q.T[:width]
        signal = model.run(layer, inputs)
        following = pca(signal)
        layer.mlp_shortcut = layer.mlp_shortcut @ following[:, :kept]
        write_with(following[:, :kept], [layer.down])
        q = following
    read_with(q, [model.head])


def calibration_text() -> str:
    """Words of letters from all over Unicode.

    The tokens used must span the whole width, or the principal components beyond their number are any.
    """
    generator = random.Random(11)
    ranges = [
        (0x21, 0x7E),
        (0xA1, 0x17F),
        (0x391, 0x3C9),
        (0x410, 0x44F),
        (0x4E00, 0x9000),
        (0x1F300, 0x1F5FF),
    ]
    words = ["the", "and", " in", "on", "an", "er"]
    words += [
        "".join(chr(generator.randint(*generator.choice(ranges))) for _ in range(3)) for _ in range(400)
    ]
    lines = [" ".join(generator.choice(words) for _ in range(12)) for _ in range(80)]
    return "\n".join(lines) + "\n"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    text = calibration_text()
    (OUT / "calibration.txt").write_text(text, encoding="utf-8")
    generator = random.Random(12)
    golden = {
        "length": LENGTH,
        "round_interval": ROUND_INTERVAL,
        "models": {},
        "prompt": [generator.randrange(5, 270) for _ in range(PROMPT_TOKENS)],
    }
    tensors = {}
    for name, sparsity in SPARSITY.items():
        tokenizer = Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        samples = len(ids) // LENGTH
        model = Model(name)
        width = int((1 - sparsity) * model.width)
        width -= width % ROUND_INTERVAL
        slice_model(model, torch.tensor(ids[: samples * LENGTH]).view(samples, LENGTH), width)
        logits = model.logits(torch.tensor([golden["prompt"]]))[0]
        tensors[name] = logits.float().contiguous()
        golden["models"][name] = {"sparsity": sparsity, "samples": samples}
        print(f"{name:8} {samples} samples, width {width} of {model.width}, logits {logits.std():.2f}")
    save_file(tensors, OUT / "golden.safetensors")
    (OUT / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
