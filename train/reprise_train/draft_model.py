"""A draft that shares its target's embedding and head: a few decoder layers and a norm of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from reprise_train.base_model import Base
from reprise_train.errors import UsageError
from reprise_train.hf_names import hf_name, size_fields
from reprise_train.model import DecoderLayer, RmsNorm, rotary_tables
from reprise_train.proposer_files import fill_proposer, read_proposer, write_proposer

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


def export_draft(draft: Draft, target: Base, draft_ids: Tensor, folder: Path, card: str) -> None:
    """Writes the directory that `--draft` loads, or nothing. Raises TrainError."""
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": "llama",
        "shared": ["embedding", "head"],
        **size_fields(draft.config),
        "num_hidden_layers": len(draft.layers),
        "max_position_embeddings": draft.config.max_positions,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
    }
    write_proposer(draft, hf_name, config, target, draft_ids, folder, card)


def load_draft(folder: Path, target: Base) -> tuple[Draft, Tensor]:
    """An exported draft in fp32, and its draft ids. Raises TrainError when it is not a draft of `target`."""
    raw, stored = read_proposer(folder, target, hf_name)
    draft = Draft(target, raw.get("num_hidden_layers", 0))
    return draft, fill_proposer(draft, stored, raw, target, folder)
