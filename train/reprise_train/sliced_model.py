"""A sliced Llama model, what `reprise slice` writes, as a PyTorch module (SliceGPT, §3.4).

Shapes: B sequences, T positions, D_in, D_mid, D_out = widths of a layer's residual stream, V = vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reprise_train.errors import TrainError
from reprise_train.files import write_json
from reprise_train.model import rotary_tables, rotate

SLICED_CLASS = "RepriseSliced"
_SIDE_FILES = (
    "tokenizer.json",
    "tokenizer.gguf",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)


@dataclass(frozen=True)
class SlicedConfig:
    vocab_size: int
    hidden_size: int
    norm_dim: int
    widths: tuple[tuple[int, int, int], ...]  # (D_in, D_mid, D_out) of each layer
    num_heads: int
    num_kv_heads: int
    head_size: int
    ffn_size: int
    max_positions: int
    rope_theta: float
    norm_eps: float


def parse_config(raw: dict, where: Path) -> SlicedConfig:
    """Raises TrainError for anything but a sliced Llama model without biases and frequency scaling."""
    if raw.get("architectures") != [SLICED_CLASS] or raw.get("base_architectures") != ["LlamaForCausalLM"]:
        raise TrainError(f"{where}: not a sliced Llama model (reprise slice makes one)")
    slicing = raw["slicing"]
    if raw.get("rope_scaling") or raw.get("attention_bias") or "rope_frequency_factors" in slicing:
        raise TrainError(f"{where}: rope_scaling and attention_bias are not supported")
    names = ("attention_input_widths", "mlp_input_widths", "output_widths")
    return SlicedConfig(
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        norm_dim=slicing["norm_dim"],
        widths=tuple(zip(*(slicing[name] for name in names), strict=True)),
        num_heads=raw["num_attention_heads"],
        num_kv_heads=raw["num_key_value_heads"],
        head_size=raw["head_dim"],
        ffn_size=raw["intermediate_size"],
        max_positions=raw["max_position_embeddings"],
        rope_theta=raw["rope_theta"],
        norm_eps=raw["rms_norm_eps"],
    )


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


class SlicedLayer(nn.Module):
    """x' = W_o attention(n(x)) + S_a x; x'' = mlp(n(x')) + S_m x', with n(x) = x / rms(x)."""

    def __init__(self, config: SlicedConfig, index: int) -> None:
        super().__init__()
        first, middle, last = config.widths[index]
        heads = config.num_heads * config.head_size
        kv_heads = config.num_kv_heads * config.head_size
        self.config = config
        self.query = _linear(first, heads)
        self.key = _linear(first, kv_heads)
        self.value = _linear(first, kv_heads)
        self.out = _linear(heads, middle)
        self.attention_shortcut = _linear(first, middle)
        self.gate = _linear(middle, config.ffn_size)
        self.up = _linear(middle, config.ffn_size)
        self.down = _linear(config.ffn_size, last)
        self.mlp_shortcut = _linear(middle, last)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self._attend(normalised(x, self.config), cos, sin) + self.attention_shortcut(x)
        n = normalised(x, self.config)
        return self.down(F.silu(self.gate(n)) * self.up(n)) + self.mlp_shortcut(x)

    def _attend(self, n: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = n.shape
        heads, kv_heads, size = self.config.num_heads, self.config.num_kv_heads, self.config.head_size
        query = self.query(n).view(batch, length, heads, size).transpose(1, 2)
        key = self.key(n).view(batch, length, kv_heads, size).transpose(1, 2)
        value = self.value(n).view(batch, length, kv_heads, size).transpose(1, 2)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        key = key.repeat_interleave(heads // kv_heads, dim=1)
        value = value.repeat_interleave(heads // kv_heads, dim=1)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, heads * size))


def normalised(x: Tensor, config: SlicedConfig) -> Tensor:
    """x / rms(x): the mean is over the width before slicing."""
    squares = x.float().square().sum(-1, keepdim=True)
    return (x * torch.rsqrt(squares / config.norm_dim + config.norm_eps)).to(x.dtype)


class SlicedDecoder(nn.Module):
    """Token ids [B, T] to logits [B, T, V]."""

    def __init__(self, config: SlicedConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.widths[0][0])
        self.layers = nn.ModuleList(SlicedLayer(config, index) for index in range(len(config.widths)))
        self.head = _linear(config.hidden_size, config.vocab_size)
        cos, sin = rotary_tables(config.max_positions, config.head_size, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.shape[1]
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.head(normalised(x, self.config))


_NAMES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.o_proj",
    "attention_shortcut": "attn_shortcut",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "mlp_shortcut": "mlp_shortcut",
}


def file_name(name: str) -> str:
    """Our name of a parameter to the file's."""
    if name == "embed.weight":
        return "model.embed_tokens.weight"
    if name == "head.weight":
        return "lm_head.weight"
    _, index, part, _ = name.split(".")
    return f"model.layers.{index}.{_NAMES[part]}.weight"


@dataclass(frozen=True)
class SlicedFiles:
    """A sliced model's directory: what is not in the module."""

    folder: Path
    raw_config: dict
    tensors: dict[str, Tensor]  # as stored


def load_sliced(folder: Path) -> tuple[SlicedDecoder, SlicedFiles]:
    """The module in fp32. Raises TrainError for a directory that holds no sliced Llama model."""
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "model.safetensors")
        model = SlicedDecoder(parse_config(raw, folder))
        model.load_state_dict({name: tensors[file_name(name)].float() for name in model.state_dict()})
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainError(f"cannot read the sliced model in {folder}: {error}") from None
    except KeyError as error:
        raise TrainError(f"{folder}: {error} is missing") from None
    except RuntimeError as error:  # shapes that disagree with config.json
        raise TrainError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    return model, SlicedFiles(folder, raw, tensors)


def write_sliced(
    weights: dict[str, Tensor], files: SlicedFiles, made_by: dict[str, str], folder: Path
) -> None:
    """Fills `folder` with the model of `files`, parameters replaced by `weights` in their stored types."""
    tensors = dict(files.tensors)
    for name, weight in weights.items():
        stored = tensors[file_name(name)]
        tensors[file_name(name)] = weight.detach().cpu().to(stored.dtype).contiguous()
    raw = dict(files.raw_config)
    raw["slicing"] = raw["slicing"] | {"made_by": raw["slicing"].get("made_by", {}) | made_by}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for name in _SIDE_FILES:
        if (files.folder / name).exists():
            (folder / name).write_bytes((files.folder / name).read_bytes())
    write_json(folder / "config.json", raw)
