"""Converts a model sliced by SliceGPT's authors' code into a directory that Reprise serves.

    python -m reprise_train.import_slicegpt --weights opt-125m_0.2.pt --model opt-125m --out sliced

The official code saves a state dict, NAME_SPARSITY.pt, and the widths beside it, NAME_SPARSITY.json; --model
is the dense model's Hugging Face directory (config.json and tokenizer files; its weights are not read).
Shortcuts are stored transposed, as matrices [out, in]; everything else keeps its values and type. The
official code fixes the epsilon of every norm at 1e-5. The rotations Q_0 and Q_L are not kept.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

import torch
from torch import Tensor

from reprise_train.cli import exit_on_error
from reprise_train.errors import TrainError
from reprise_train.files import copy_side_files, read_json, replace_directory, write_json
from reprise_train.sliced_model import SLICED_CLASS
from reprise_train.tensor_files import write_tensors

_NORM_EPSILON = 1e-5
_CLASSES = ("LlamaForCausalLM", "OPTForCausalLM", "PhiForCausalLM")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict; nothing but tensors is unpickled."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainError(f"{path} is not a state dict of tensors")
    return state


def layer_widths(official: dict, num_layers: int, where: Path) -> dict[str, list[int]]:
    """The three lists of config.json's `slicing`. Raises TrainError when a layer's width is missing."""

    def widths(name: str) -> list[int]:
        by_layer = {int(layer): width for layer, width in official.get(name, {}).items()}
        if sorted(by_layer) != list(range(num_layers)):
            raise TrainError(f"{where}: '{name}' must have a width for each of the {num_layers} layers")
        return [by_layer[layer] for layer in range(num_layers)]

    parallel = official.get("parallel_blocks", False)
    inputs = widths("attention_input_dimensions")
    middle = inputs if parallel else widths("mlp_input_dimensions")
    outputs = widths("attention_output_dimensions" if parallel else "mlp_output_dimensions")
    if not official.get("do_slice_head", False):
        outputs[-1] = official["hidden_size"]
    return {"attention_input_widths": inputs, "mlp_input_widths": middle, "output_widths": outputs}


def convert_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Shortcuts transposed under our names; buffers that are no weights left out."""
    converted = {}
    for name, tensor in state.items():
        if name.endswith("_shortcut_Q"):
            converted[name.removesuffix("_Q") + ".weight"] = tensor.T.contiguous()
        elif name.endswith((".weight", ".bias")) and "rotary" not in name:
            converted[name] = tensor.contiguous().clone()
    return converted


def sliced_config(dense: dict, official: dict, where: Path) -> dict:
    classes = dense.get("architectures") or []
    if not classes or classes[0] not in _CLASSES:
        raise TrainError(f"{where}: {classes} is not supported, only {', '.join(_CLASSES)}")
    num_layers = dense["num_hidden_layers"]
    widths = layer_widths(official, num_layers, where)
    return dense | {
        "architectures": [SLICED_CLASS],
        "base_architectures": [classes[0]],
        "model_type": "reprise_sliced",
        "hidden_size": widths["output_widths"][-1],
        "head_dim": dense.get("head_dim") or dense["hidden_size"] // dense["num_attention_heads"],
        "num_key_value_heads": dense.get("num_key_value_heads") or dense["num_attention_heads"],
        "rms_norm_eps": _NORM_EPSILON,
        "layer_norm_eps": _NORM_EPSILON,
        "word_embed_proj_dim": widths["output_widths"][-1],
        "tie_word_embeddings": False,
        "slicing": {
            "norm_dim": official["hidden_size"],
            **widths,
            "made_by": {"method": "SliceGPT, official code"},
        },
    }


def convert(weights: Path, widths: Path, model: Path, out: Path) -> None:
    """Raises TrainError for files that are missing, damaged or do not belong together."""
    official, dense = read_json(widths), read_json(model / "config.json")
    try:
        config = sliced_config(dense, official, widths)
    except KeyError as error:
        raise TrainError(f"{widths} or {model / 'config.json'}: {error} is missing") from None
    tensors = convert_weights(read_weights(weights))
    if not any(name.endswith("attn_shortcut.weight") for name in tensors):
        raise TrainError(f"{weights} has no shortcut matrices: it is not a sliced model")

    def write(folder: Path) -> None:
        write_tensors(folder / "model.safetensors", tensors)
        copy_side_files(model, folder)
        write_json(folder / "config.json", config)

    replace_directory(out, write)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m reprise_train.import_slicegpt",
        description="Convert a model sliced by the official SliceGPT code.",
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE.pt", help="the state dict")
    parser.add_argument(
        "--widths", type=Path, metavar="FILE.json", help="the widths; default: beside --weights"
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the dense model's directory"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write")
    options = parser.parse_args(arguments)
    widths = options.widths or options.weights.with_suffix(".json")
    convert(options.weights, widths, options.model, options.out)
    print(f"{options.out}: converted; 'reprise inspect {options.out}' describes it", file=sys.stderr)


if __name__ == "__main__":
    exit_on_error(main)
