"""The recycle module of RecycleGPT: a few decoder layers over recycled hidden states and new embeddings.

Slot j reads (h_{j-1}, e_j), the base's final hidden state one token back and the embedding of the newest
token, and predicts x_{j+1} with the base's own head, without running the base on x_j. Shapes are named as in
`model.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reprise_train.errors import UsageError
from reprise_train.model import DecoderLayer, ModelConfig, RmsNorm, rotary_tables


@dataclass(frozen=True)
class ModuleConfig:
    """Layer sizes are the base's; `max_draft_tokens` is the chain length that was trained for."""

    layer: ModelConfig
    num_layers: int = 1
    max_draft_tokens: int = 1
    embedding_width: int | None = None  # of the base's embedding; of a sliced base less than its hidden size

    def __post_init__(self) -> None:
        for name in ("num_layers", "max_draft_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def embedding_size(self) -> int:
        return self.embedding_width or self.layer.hidden_size


class RecycleModule(nn.Module):
    """Hidden states and embeddings to module outputs [B, T, D], normed: what the base's head reads."""

    def __init__(self, config: ModuleConfig) -> None:
        super().__init__()
        layer = config.layer
        self.config = config
        self.hidden_norm = RmsNorm(layer.hidden_size, layer.norm_eps)
        self.embedding_norm = RmsNorm(config.embedding_size, layer.norm_eps)
        joined = layer.hidden_size + config.embedding_size
        self.input_projection = nn.Linear(joined, layer.hidden_size, bias=False)
        self.layers = nn.ModuleList(DecoderLayer(layer) for _ in range(config.num_layers))
        self.norm = RmsNorm(layer.hidden_size, layer.norm_eps)
        cos, sin = rotary_tables(layer.max_positions, layer.head_size, layer.rope_theta)
        self.register_buffer("cos", cos, persistent=False)  # [max_positions, K]
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, hidden: Tensor, embedded: Tensor, first: int = 1) -> Tensor:
        """Outputs of slots first, first + 1, … from h of the token before and e of the token [B, T, D]."""
        return self.chain(hidden, embedded, 1, first)[0]

    def chain(self, hidden: Tensor, embedded: Tensor, depth: int, first: int = 1) -> list[Tensor]:
        """Outputs at chain depths 1…depth, each [B, T, D].

        At depth i a slot reads, in place of h_{j-1}, the module's own output of depth i-1 at slot j-1, as
        it will when it drafts several tokens in a row. It attends to depth 1 at the slots before the chain
        and to the chain's own slots. The first i-1 slots of depth i have no such input and mean nothing.
        """
        length = embedded.shape[1]
        cos, sin = self.cos[first : first + length], self.sin[first : first + length]
        past: list[list[list[Tensor]]] = [[] for _ in self.layers]  # keys and values [B, G, T, K] by level
        outputs: list[Tensor] = []
        for level in range(1, depth + 1):
            if level > 1:
                hidden = torch.cat((torch.zeros_like(outputs[-1][:, :1]), outputs[-1][:, :-1]), dim=1)
            x = self.input_projection(
                torch.cat((self.hidden_norm(hidden), self.embedding_norm(embedded)), -1)
            )
            mask = None if level == 1 else _chain_mask(length, level, x.device)
            for layer, keys_values in zip(self.layers, past, strict=True):
                query, *key_value = layer.attention.project(layer.attention_norm(x), cos, sin)
                keys_values.append(key_value)
                keys, values = (torch.cat(parts, dim=2) for parts in zip(*keys_values, strict=True))
                x = x + layer.attention.mix(query, keys, values, mask)
                x = x + layer.ffn(layer.ffn_norm(x))
            outputs.append(self.norm(x))
        return outputs

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


def _chain_mask(length: int, level: int, device: torch.device) -> Tensor:
    """[T, level * T], true where slot j at `level` may look: its chain is slots j - level + 1 … j."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    parts = [distance >= level - 1]  # depth 1: up to where the chain begins
    parts += [distance == level - depth for depth in range(2, level + 1)]
    mask = torch.cat(parts, dim=1)
    mask[: level - 1, -length:] |= distance[: level - 1] == 0  # slots without a chain: any finite value
    return mask
