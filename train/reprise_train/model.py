"""A Llama-architecture decoder small enough to read in one sitting.

Shapes: B sequences, T positions, D = hidden, H query heads, G key-value heads, K = head size, V = vocabulary.
The maths is Hugging Face's `LlamaForCausalLM` (half-split rotary pairs, RMSNorm before each block, SwiGLU,
grouped-query attention, tied embedding), so that an export needs renaming only: see `export.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprise_train.errors import UsageError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model. `max_positions` bounds what is served, not the parameters."""

    vocab_size: int = 4096
    hidden_size: int = 256
    num_layers: int = 6
    num_heads: int = 4
    num_kv_heads: int = 2
    ffn_size: int = 704
    max_positions: int = 1024
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Raises UsageError for sizes that cannot make a model."""
        for name in (
            "vocab_size",
            "hidden_size",
            "num_layers",
            "num_heads",
            "num_kv_heads",
            "ffn_size",
            "max_positions",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.hidden_size % self.num_heads:
            raise UsageError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if self.head_size % 2:
            raise UsageError(
                f"the head size, hidden_size / num_heads = {self.head_size}, must be even (rotary pairs)"
            )
        if self.num_heads % self.num_kv_heads:
            raise UsageError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_heads

    def to_dict(self) -> dict:
        return asdict(self)


class RmsNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in fp32 whatever the input (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps)
        return x * scale * self.weight


def rotary_tables(positions: int, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """cos and sin of position * theta^(-2i/K), [T, K] each, the K/2 angles twice (Su et al. 2021, §3.4)."""
    inverse = theta ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs (i, i + K/2) of x [B, heads, T, K] by the angles in cos, sin [T, K]; keeps x's dtype."""
    low, high = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-high, low), dim=-1) * sin).to(x.dtype)


class Attention(nn.Module):
    """Causal grouped-query attention (Ainslie et al. 2023): H / G query heads read each key-value head."""

    def __init__(self, config: ModelConfig, inputs: int | None = None, outputs: int | None = None) -> None:
        """Widths of what it reads and writes are the model's if not given; a sliced layer has others."""
        super().__init__()
        inputs, outputs = inputs or config.hidden_size, outputs or config.hidden_size
        heads_size, kv_size = config.num_heads * config.head_size, config.num_kv_heads * config.head_size
        self.config = config
        self.query = nn.Linear(inputs, heads_size, bias=False)
        self.key = nn.Linear(inputs, kv_size, bias=False)
        self.value = nn.Linear(inputs, kv_size, bias=False)
        self.out = nn.Linear(heads_size, outputs, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return self.mix(*self.project(x, cos, sin))

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, K] and keys [B, G, T, K], both rotated, and values [B, G, T, K]."""
        batch, length, _ = x.shape
        heads, kv_heads, size = self.config.num_heads, self.config.num_kv_heads, self.config.head_size
        query = self.query(x).view(batch, length, heads, size).transpose(1, 2)
        key = self.key(x).view(batch, length, kv_heads, size).transpose(1, 2)
        value = self.value(x).view(batch, length, kv_heads, size).transpose(1, 2)
        return rotate(query, cos, sin), rotate(key, cos, sin), value

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] of queries [B, H, T, K] over keys and values [B, G, S, K]; without a mask, causal."""
        groups = self.config.num_heads // self.config.num_kv_heads
        key, value = (part.repeat_interleave(groups, dim=1).to(query.dtype) for part in (key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return self.out(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig, inputs: int | None = None, outputs: int | None = None) -> None:
        """Widths as in `Attention`."""
        super().__init__()
        inputs, outputs = inputs or config.hidden_size, outputs or config.hidden_size
        self.gate = nn.Linear(inputs, config.ffn_size, bias=False)
        self.up = nn.Linear(inputs, config.ffn_size, bias=False)
        self.down = nn.Linear(config.ffn_size, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(config.hidden_size, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RmsNorm(config.hidden_size, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.ffn(self.ffn_norm(x))


class Decoder(nn.Module):
    """Token ids [B, T] to logits [B, T, V] (`forward`) or to final hidden states [B, T, D] (`hidden`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)  # also the output head
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)
        cos, sin = rotary_tables(config.max_positions, config.head_size, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)  # [max_positions, K]
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights; what adds to the residual stream starts sqrt(2 * layers) smaller (GPT-2, §2.3)."""
        residual_scale = (2 * self.config.num_layers) ** -0.5
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            std = 0.02 if weight is self.embed.weight else 0.5 * weight.shape[1] ** -0.5
            if name.endswith(("out.weight", "down.weight")):
                std *= residual_scale
            nn.init.normal_(weight, std=std)

    def residual(self, ids: Tensor, num_layers: int) -> Tensor:
        """The residual stream [B, T, D] behind so many layers, of ids [B, T], T <= max_positions."""
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embed(ids)
        for layer in self.layers[:num_layers]:
            x = layer(x, cos, sin)
        return x

    def hidden(self, ids: Tensor) -> Tensor:
        """Final normed hidden states [B, T, D] of ids [B, T]."""
        return self.norm(self.residual(ids, len(self.layers)))

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(self.hidden(ids), self.embed.weight)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, nats a token, of targets [B, T] after ids [B, T]."""
        logits = self(ids).float()
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    def num_parameters(self) -> int:
        """Distinct parameters: the tied head is counted once."""
        return sum(p.numel() for p in self.parameters())
