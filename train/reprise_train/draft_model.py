"""A draft that shares its target's embedding and head: a few decoder layers and a norm of its own."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reprise_train.base_model import Base
from reprise_train.errors import TrainError, UsageError
from reprise_train.export import LAYER_NAMES
from reprise_train.files import replace_directory, write_json
from reprise_train.model import DecoderLayer, RmsNorm, rotary_tables

ARCHITECTURE = "RepriseDraft"


class Draft(nn.Module):
    """Embedded tokens [B, T, D] to what the shared head reads [B, T, D]. Layer sizes are the target's."""

    def __init__(self, target: Base, num_layers: int) -> None:
        """Raises UsageError unless 1 <= num_layers <= the target's."""
        super().__init__()
        config = target.config
        if not 1 <= num_layers <= config.num_layers:
            raise UsageError(f"--layers must be 1 to {config.num_layers}, not {num_layers}")
        self.config = config
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(num_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)
        cos, sin = rotary_tables(config.max_positions, config.head_size, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)  # [max_positions, K]
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def start_from(self, target: Base) -> None:
        """Copies the target's first layers and its final norm."""
        for index, layer in enumerate(self.layers):
            layer.load_state_dict(target.layer(index))
        self.norm.weight.copy_(target.weights["norm.weight"])

    def forward(self, embedded: Tensor) -> Tensor:
        length = embedded.shape[1]
        x = embedded
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.norm(x)

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


def file_name(name: str) -> str:
    """Our name of a draft parameter to the file's."""
    if not name.startswith("layers."):
        return f"model.{name}"
    _, index, rest = name.split(".", 2)
    return f"model.layers.{index}.{LAYER_NAMES[rest]}"


def draft_config(draft: Draft, target: Base, draft_vocab_size: int) -> dict:
    """`config.json`; docs/file-formats.md, "Draft"."""
    config = draft.config
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "llama",
        "shared": ["embedding", "head"],
        "vocab_size": config.vocab_size,
        "draft_vocab_size": draft_vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": len(draft.layers),
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "max_position_embeddings": config.max_positions,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "base_sha256": target.fingerprint(),
        "base_name": target.name,
        "torch_dtype": "bfloat16",
    }


def export_draft(draft: Draft, target: Base, draft_ids: Tensor, folder: Path, card: str) -> None:
    """Writes the whole directory, or nothing; weights are rounded to bf16. Raises TrainError."""

    def write(partial: Path) -> None:
        weights = {
            file_name(name): weight.detach().to("cpu", torch.bfloat16).contiguous()
            for name, weight in draft.named_parameters()
        }
        if len(draft_ids) < target.config.vocab_size:
            weights["d2t"] = draft_ids.cpu().contiguous()
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        write_json(partial / "config.json", draft_config(draft, target, len(draft_ids)))
        (partial / "README.md").write_text(card, encoding="utf-8")

    replace_directory(folder, write)


def load_draft(folder: Path, target: Base) -> tuple[Draft, Tensor]:
    """An exported draft in fp32, and its draft ids. Raises TrainError when it is not a draft of `target`."""
    try:
        raw = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainError(f"cannot read the draft in {folder}: {error}") from None
    expected = target.fingerprint()
    if raw.get("base_sha256") != expected:
        made_for = raw.get("base_sha256")
        raise TrainError(f"{folder} was made for {made_for}, not for {target.path} ({expected})")
    try:
        draft = Draft(target, raw["num_hidden_layers"])
        names = [name for name, _ in draft.named_parameters()]
        draft.load_state_dict({name: weights[file_name(name)].float() for name in names})
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{folder}: {error}") from None
    return draft, weights.get("d2t", torch.arange(target.config.vocab_size))
