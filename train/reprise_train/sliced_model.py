"""A sliced Llama model, what `reprise slice` writes, as a PyTorch module (SliceGPT, §3.4).

Shapes: B sequences, T positions, D_in, D_mid, D_out = widths of a layer's residual stream, V = vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reprise_train.errors import TrainError, UsageError
from reprise_train.files import copy_side_files, read_json, write_json
from reprise_train.hf_names import hf_name, read_config
from reprise_train.model import Attention, FeedForward, ModelConfig, rotary_tables
from reprise_train.tensor_files import read_tensors, write_tensors

SLICED_CLASS = "RepriseSliced"


@dataclass(frozen=True)
class SlicedConfig:
    dense: ModelConfig  # before slicing
    widths: tuple[tuple[int, int, int], ...]  # (D_in, D_mid, D_out) of each layer
    hidden_size: int  # of the last layer


def parse_config(raw: dict, where: Path) -> SlicedConfig:
    """Raises TrainError for anything but a sliced Llama model without biases and frequency scaling."""
    if raw.get("architectures") != [SLICED_CLASS] or raw.get("base_architectures") != ["LlamaForCausalLM"]:
        raise TrainError(f"{where}: not a sliced Llama model (reprise slice makes one)")
    slicing = raw["slicing"]
    if raw.get("rope_scaling") or raw.get("attention_bias") or "rope_frequency_factors" in slicing:
        raise TrainError(f"{where}: rope_scaling and attention_bias are not supported")
    dense = read_config(raw | {"hidden_size": slicing["norm_dim"]})
    if raw.get("head_dim", dense.head_size) != dense.head_size:
        raise TrainError(f"{where}: head_dim must be {dense.head_size}, not {raw['head_dim']}")
    names = ("attention_input_widths", "mlp_input_widths", "output_widths")
    return SlicedConfig(
        dense, tuple(zip(*(slicing[name] for name in names), strict=True)), raw["hidden_size"]
    )


class SlicedLayer(nn.Module):
    """x' = W_o attention(n(x)) + S_a x; x'' = mlp(n(x')) + S_m x', with n(x) = x / rms(x)."""

    def __init__(self, config: SlicedConfig, index: int) -> None:
        super().__init__()
        first, middle, last = config.widths[index]
        self.config = config
        self.attention = Attention(config.dense, first, middle)
        self.attention_shortcut = nn.Linear(first, middle, bias=False)
        self.ffn = FeedForward(config.dense, middle, last)
        self.ffn_shortcut = nn.Linear(middle, last, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.attention(normalised(x, self.config), cos, sin) + self.attention_shortcut(x)
        return self.ffn(normalised(x, self.config)) + self.ffn_shortcut(x)


def normalised(x: Tensor, config: SlicedConfig) -> Tensor:
    """x / rms(x): the mean is over the width before slicing."""
    squares = x.float().square().sum(-1, keepdim=True)
    return (x * torch.rsqrt(squares / config.dense.hidden_size + config.dense.norm_eps)).to(x.dtype)


class SlicedDecoder(nn.Module):
    """Token ids [B, T] to logits [B, T, V]."""

    def __init__(self, config: SlicedConfig) -> None:
        super().__init__()
        self.config = config
        dense = config.dense
        self.embed = nn.Embedding(dense.vocab_size, config.widths[0][0])
        self.layers = nn.ModuleList(SlicedLayer(config, index) for index in range(len(config.widths)))
        self.head = nn.Linear(config.hidden_size, dense.vocab_size, bias=False)
        cos, sin = rotary_tables(dense.max_positions, dense.head_size, dense.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def residual(self, ids: Tensor, num_layers: int) -> Tensor:
        """The residual stream [B, T, D] behind so many layers."""
        length = ids.shape[1]
        x = self.embed(ids)
        for layer in self.layers[:num_layers]:
            x = layer(x, self.cos[:length], self.sin[:length])
        return x

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(normalised(self.residual(ids, len(self.layers)), self.config))


@dataclass(frozen=True)
class SlicedFiles:
    """A sliced model's directory: what is not in the module."""

    folder: Path
    raw_config: dict
    tensors: dict[str, Tensor]  # as stored


def load_sliced(folder: Path) -> tuple[SlicedDecoder, SlicedFiles]:
    """The module in fp32. Raises TrainError for a directory that holds no sliced Llama model."""
    raw, tensors = read_json(folder / "config.json"), read_tensors(folder / "model.safetensors")
    try:
        model = SlicedDecoder(parse_config(raw, folder))
        model.load_state_dict({name: tensors[hf_name(name)].float() for name in model.state_dict()})
    except KeyError as error:
        raise TrainError(f"{folder}: {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise TrainError(f"{folder}/config.json: {error}") from None
    except UsageError as error:  # sizes that make no model
        raise TrainError(f"{folder}: {error}") from None
    except RuntimeError as error:  # shapes that disagree with config.json
        raise TrainError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    return model, SlicedFiles(folder, raw, tensors)


def write_sliced(
    weights: dict[str, Tensor], files: SlicedFiles, made_by: dict[str, str], folder: Path
) -> None:
    """Fills `folder` with the model of `files`, parameters replaced by `weights` in their stored types."""
    tensors = dict(files.tensors)
    for name, weight in weights.items():
        stored = tensors[hf_name(name)]
        tensors[hf_name(name)] = weight.detach().cpu().to(stored.dtype).contiguous()
    raw = dict(files.raw_config)
    raw["slicing"] = raw["slicing"] | {"made_by": raw["slicing"].get("made_by", {}) | made_by}
    write_tensors(folder / "model.safetensors", tensors)
    copy_side_files(files.folder, folder)
    write_json(folder / "config.json", raw)
