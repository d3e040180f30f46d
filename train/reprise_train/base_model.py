"""Loads a frozen base model, a Hugging Face directory or a GGUF file, as fp32 weights under our own names.

Quantised GGUF weights are dequantised: what is trained against is what the daemon serves. Llama architecture
without biases only; anything else is refused by name.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reprise_train.errors import TrainError, UsageError
from reprise_train.files import read_json
from reprise_train.gguf_files import gguf_name, parameter_names, read_gguf
from reprise_train.hf_names import hf_name, read_config
from reprise_train.model import Decoder, ModelConfig
from reprise_train.tensor_files import read_tensors

HEAD = "head.weight"
"""Name of the output head in `Base.weights` when it is not tied to the embedding."""


@dataclass(frozen=True)
class Base:
    """`weights` has the names of `model.Decoder`, and HEAD when the head is not tied; all fp32."""

    name: str
    path: Path
    config: ModelConfig
    weights: dict[str, Tensor]
    stop_ids: tuple[int, ...]  # end-of-sequence tokens that the file names

    @property
    def embedding(self) -> Tensor:
        return self.weights["embed.weight"]  # [V, D]

    @property
    def head(self) -> Tensor:
        return self.weights.get(HEAD, self.embedding)  # [V, D]

    def decoder(self) -> Decoder:
        """A frozen copy that computes final hidden states; its own head is the embedding, tied or not."""
        decoder = Decoder(self.config)
        decoder.load_state_dict({name: weight for name, weight in self.weights.items() if name != HEAD})
        return decoder.requires_grad_(False)

    def residual(self, ids: Tensor, num_layers: int) -> Tensor:
        """The residual stream behind so many layers, as `Decoder.residual`."""
        return self.decoder().residual(ids, num_layers)

    def layer(self, index: int) -> dict[str, Tensor]:
        """Weights of one layer under the names of `model.DecoderLayer`; -1 is the last."""
        prefix = f"layers.{index % self.config.num_layers}."
        return {name[len(prefix) :]: w for name, w in self.weights.items() if name.startswith(prefix)}

    def fingerprint(self) -> str:
        """`base_sha256` of docs/file-formats.md: sizes and norm weights, whatever the quantisation."""
        norms = [self.weights["norm.weight"]]
        for index in range(self.config.num_layers):
            norms.append(self.weights[f"layers.{index}.attention_norm.weight"])
            norms.append(self.weights[f"layers.{index}.ffn_norm.weight"])
        return fingerprint(self.config, norms)


def fingerprint(c: ModelConfig, tensors: list[Tensor]) -> str:
    """`base_sha256` of docs/file-formats.md over the sizes and the tensors that it names."""
    digest = hashlib.sha256()
    sizes = (
        c.vocab_size,
        c.hidden_size,
        c.num_layers,
        c.num_heads,
        c.num_kv_heads,
        c.head_size,
        c.ffn_size,
    )
    digest.update(struct.pack("<7i", *sizes))
    for tensor in tensors:
        digest.update(tensor.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def load_base(path: Path) -> Base:
    """Raises TrainError for a missing, damaged or unsupported model."""
    if path.is_dir():
        return _load_hugging_face(path)
    if not path.exists():
        raise TrainError(f"{path}: no such model")
    return _load_gguf(path)


def check_finite(path: Path, weights: dict[str, Tensor]) -> None:
    """Raises TrainError naming a tensor that holds an infinity or a NaN."""
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise TrainError(f"{path}: {name} holds values that are not finite")


def _load_hugging_face(folder: Path) -> Base:
    raw = read_json(folder / "config.json")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        tensors.update(read_tensors(shard))
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TrainError(f"{folder}: {name} has type {tensor.dtype}; expected a float type")
    if raw.get("architectures") != ["LlamaForCausalLM"] or raw.get("attention_bias") or raw.get("mlp_bias"):
        raise TrainError(f"{folder}: {raw.get('architectures')} is not supported, only Llama without biases")
    if raw.get("rope_scaling"):
        raise TrainError(f"{folder}: rope_scaling is not supported")
    try:
        config = read_config(raw)
        weights = {name: tensors[hf_name(name)].float() for name in parameter_names(config.num_layers)}
    except KeyError as error:
        raise TrainError(f"{folder}: {error} is missing") from None
    except (TypeError, ValueError, UsageError) as error:
        raise TrainError(f"{folder}/config.json: {error}") from None
    if "lm_head.weight" in tensors and not raw.get("tie_word_embeddings", False):
        weights[HEAD] = tensors["lm_head.weight"].float()
    check_finite(folder, weights)
    return Base(raw.get("_name_or_path") or folder.name, folder, config, weights, stop_ids(raw))


def stop_ids(raw: dict) -> tuple[int, ...]:
    """The end-of-sequence tokens that `config.json` names."""
    end = raw.get("eos_token_id")
    return tuple(end) if isinstance(end, list) else () if end is None else (end,)


def _load_gguf(path: Path) -> Base:
    fields, tensors = read_gguf(path)
    if fields.get("general.architecture") != "llama" or "llama.rope.scaling.type" in fields:
        raise TrainError(f"{path}: only the llama architecture without rope scaling is supported")

    try:
        config = ModelConfig(
            vocab_size=len(tensors["token_embd.weight"]),
            hidden_size=fields["llama.embedding_length"],
            num_layers=fields["llama.block_count"],
            num_heads=fields["llama.attention.head_count"],
            num_kv_heads=fields.get("llama.attention.head_count_kv", fields["llama.attention.head_count"]),
            ffn_size=fields["llama.feed_forward_length"],
            max_positions=fields["llama.context_length"],
            rope_theta=fields.get("llama.rope.freq_base", 10000.0),
            norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        )
        weights = {name: tensors[gguf_name(name)] for name in parameter_names(config.num_layers)}
    except KeyError as error:
        raise TrainError(f"{path}: {error} is missing") from None
    for index in range(config.num_layers):
        for name, heads in (("query", config.num_heads), ("key", config.num_kv_heads)):
            name = f"layers.{index}.attention.{name}.weight"
            weights[name] = _half_split(weights[name], heads)
    if "output.weight" in tensors:
        weights[HEAD] = tensors["output.weight"]
    check_finite(path, weights)
    end = fields.get("tokenizer.ggml.eos_token_id")
    return Base(path.stem, path, config, weights, () if end is None else (int(end),))


def _half_split(weight: Tensor, heads: int) -> Tensor:
    """GGUF's interleaved rotary pairs (2i, 2i + 1) of a query or key matrix to pairs (i, i + K/2)."""
    rows, columns = weight.shape
    return (
        weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
    )
