"""The recycle module of RecycleGPT: a few decoder layers over recycled hidden states and new embeddings.

Slot j reads (h_{j-1}, e_j), the base's final hidden state one token back and the embedding of the newest
token, and predicts x_{j+1} with the base's own head, without running the base on x_j. Shapes are named as in
`model.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprise_train.errors import UsageError
from reprise_train.model import Attention, DecoderLayer, ModelConfig, RmsNorm, rotary_tables, rotate

KeyValue = tuple[Tensor, Tensor]  # [B, G, T, K] each


@dataclass(frozen=True)
class ModuleConfig:
    """Layer sizes are the base's; `max_draft_tokens` is the chain length that was trained for."""

    layer: ModelConfig
    num_layers: int = 1
    max_draft_tokens: int = 1

    def __post_init__(self) -> None:
        for name in ("num_layers", "max_draft_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")

    def to_dict(self) -> dict:
        return asdict(self)


class RecycleModule(nn.Module):
    """Hidden states and embeddings to module outputs [B, T, D], normed: what the base's head reads."""

    def __init__(self, config: ModuleConfig) -> None:
        super().__init__()
        layer = config.layer
        self.config = config
        self.hidden_norm = RmsNorm(layer.hidden_size, layer.norm_eps)
        self.embedding_norm = RmsNorm(layer.hidden_size, layer.norm_eps)
        self.input_projection = nn.Linear(2 * layer.hidden_size, layer.hidden_size, bias=False)
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
        past: list[list[KeyValue]] = [[] for _ in self.layers]
        outputs: list[Tensor] = []
        for level in range(1, depth + 1):
            if level > 1:
                hidden = torch.cat((torch.zeros_like(outputs[-1][:, :1]), outputs[-1][:, :-1]), dim=1)
            x = self.input_projection(
                torch.cat((self.hidden_norm(hidden), self.embedding_norm(embedded)), -1)
            )
            mask = None if level == 1 else _chain_mask(length, level, x.device)
            for layer, keys_values in zip(self.layers, past, strict=True):
                x = x + _attend(layer.attention, layer.attention_norm(x), cos, sin, keys_values, mask)
                x = x + layer.ffn(layer.ffn_norm(x))
            outputs.append(self.norm(x))
        return outputs

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


def _attend(
    attention: Attention, x: Tensor, cos: Tensor, sin: Tensor, past: list[KeyValue], mask: Tensor | None
) -> Tensor:
    """Attention over the keys of all levels in `past` and of this one, which are appended to `past`."""
    batch, length, _ = x.shape
    config = attention.config
    query = attention.query(x).view(batch, length, config.num_heads, -1).transpose(1, 2)
    key = attention.key(x).view(batch, length, config.num_kv_heads, -1).transpose(1, 2)
    value = attention.value(x).view(batch, length, config.num_kv_heads, -1).transpose(1, 2)
    past.append((rotate(key, cos, sin), value))
    keys, values = (torch.cat(parts, dim=2) for parts in zip(*past, strict=True))
    groups = config.num_heads // config.num_kv_heads
    mixed = F.scaled_dot_product_attention(
        rotate(query, cos, sin),
        keys.repeat_interleave(groups, dim=1),
        values.repeat_interleave(groups, dim=1),
        attn_mask=mask,
        is_causal=mask is None,
    )
    return attention.out(mixed.transpose(1, 2).reshape(batch, length, -1))


def _chain_mask(length: int, level: int, device: torch.device) -> Tensor:
    """[T, level * T], true where slot j at `level` may look: its chain is slots j - level + 1 … j."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    parts = [distance >= level - 1]  # depth 1: up to where the chain begins
    parts += [distance == level - depth for depth in range(2, level + 1)]
    mask = torch.cat(parts, dim=1)
    mask[: level - 1, -length:] |= distance[: level - 1] == 0  # slots without a chain: any finite value
    return mask
