"""GGUF files: their names of our parameters, and their tensors as fp32, with errors for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reprise_train.errors import TrainError

_LAYER_NAMES = {
    "attention_norm.weight": "attn_norm.weight",
    "attention.query.weight": "attn_q.weight",
    "attention.key.weight": "attn_k.weight",
    "attention.value.weight": "attn_v.weight",
    "attention.out.weight": "attn_output.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "ffn.gate.weight": "ffn_gate.weight",
    "ffn.up.weight": "ffn_up.weight",
    "ffn.down.weight": "ffn_down.weight",
}
_OTHER_NAMES = {
    "embed.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "head.weight": "output.weight",
}


def gguf_name(name: str) -> str:
    """Our name of a parameter, of a model or of a recycle module, to GGUF's."""
    if name.startswith("layers."):
        _, index, rest = name.split(".", 2)
        return f"blk.{index}.{_LAYER_NAMES[rest]}"
    return _OTHER_NAMES.get(name) or f"recycle.{name}"


def parameter_names(num_layers: int) -> list[str]:
    """Ours, of a dense model but for the head that it may have of its own."""
    names = ["embed.weight", "norm.weight"]
    return names + [f"layers.{index}.{name}" for index in range(num_layers) for name in _LAYER_NAMES]


def read_gguf(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Metadata, and the tensors under the file's names: integers as int64, all others dequantised to fp32.

    Raises TrainError when the file is missing or damaged, or the Python package gguf is.
    """
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError:
        raise TrainError("reading GGUF files needs the Python package gguf: pip install gguf") from None
    try:
        reader = GGUFReader(path)
        tensors = {
            tensor.name: torch.from_numpy(
                tensor.data.astype(np.int64)
                if tensor.tensor_type.name in ("I32", "I64")
                else dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            )
            for tensor in reader.tensors
        }
        return {name: field.contents() for name, field in reader.fields.items()}, tensors
    except (OSError, ValueError, IndexError, KeyError, NotImplementedError) as error:
        raise TrainError(f"cannot read {path}: {error}") from None
