"""A trained module as the directory that `--recycle` loads: docs/file-formats.md, "Recycle module"."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.errors import TrainError
from reprise_train.export import LAYER_NAMES
from reprise_train.files import replace_directory, write_json
from reprise_train.recycle_module import ModuleConfig, RecycleModule

ARCHITECTURE = "RepriseRecycleModule"


def file_name(name: str) -> str:
    """Our name of a module parameter to the file's."""
    if not name.startswith("layers."):
        return name
    _, index, rest = name.split(".", 2)
    return f"layers.{index}.{LAYER_NAMES[rest]}"


def module_config(config: ModuleConfig, base: Base, draft_vocab_size: int) -> dict:
    """`config.json`."""
    layer = config.layer
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "reprise_recycle",
        "hidden_kind": "post_norm",
        "hidden_size": layer.hidden_size,
        "vocab_size": layer.vocab_size,
        "draft_vocab_size": draft_vocab_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": layer.num_heads,
        "num_key_value_heads": layer.num_kv_heads,
        "head_dim": layer.head_size,
        "intermediate_size": layer.ffn_size,
        "hidden_act": "silu",
        "rms_norm_eps": layer.norm_eps,
        "rope_theta": layer.rope_theta,
        "max_draft_tokens": config.max_draft_tokens,
        "base_sha256": base.fingerprint(),
        "base_name": base.name,
        "torch_dtype": "bfloat16",
    }


def export_module(module: RecycleModule, base: Base, draft_ids: Tensor, folder: Path, card: str) -> None:
    """Writes the whole directory, or nothing; weights are rounded to bf16. Raises TrainError."""

    def write(partial: Path) -> None:
        weights = {
            file_name(name): weight.detach().to("cpu", torch.bfloat16).contiguous()
            for name, weight in module.named_parameters()
        }
        if len(draft_ids) < base.config.vocab_size:
            weights["d2t"] = draft_ids.cpu().contiguous()
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        write_json(partial / "config.json", module_config(module.config, base, len(draft_ids)))
        (partial / "README.md").write_text(card, encoding="utf-8")

    replace_directory(folder, write)


def load_module(folder: Path, base: Base) -> tuple[RecycleModule, Tensor]:
    """An exported module in fp32, and its draft ids. Raises TrainError when it is not a module of `base`."""
    try:
        raw = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainError(f"cannot read the module in {folder}: {error}") from None
    expected = base.fingerprint()
    if raw.get("base_sha256") != expected:
        raise TrainError(
            f"{folder} was trained for {raw.get('base_sha256')}, not for {base.path} ({expected})"
        )
    module = RecycleModule(ModuleConfig(base.config, raw["num_hidden_layers"], raw["max_draft_tokens"]))
    try:
        module.load_state_dict(
            {name: weights[file_name(name)].float() for name, _ in module.named_parameters()}, strict=False
        )
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{folder}: {error}") from None
    return module, weights.get("d2t", torch.arange(base.config.vocab_size))
