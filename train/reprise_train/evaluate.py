"""Held-out loss and sample text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from reprise_train.model import Decoder


@dataclass(frozen=True)
class HeldOut:
    """Loss over a held-out stream, each token predicted once, in windows that start afresh."""

    loss: float  # nats a token
    tokens: int
    by_position: list[float]  # nats a token, mean over each eighth of the window

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss)


@torch.no_grad()
def held_out_loss(
    model: Decoder, stream: np.ndarray, window: int, max_tokens: int | None = None, bf16: bool = False
) -> HeldOut:
    """Loss on the windows of a stream, or on evenly spaced ones worth about max_tokens.

    The window shrinks to the stream when that is shorter. `bf16`: matrix products in bf16, as in training.
    """
    window = min(window, len(stream) - 1)
    starts = np.arange(0, len(stream) - window, window)
    if max_tokens is not None and len(starts) * window > max_tokens:
        starts = starts[np.linspace(0, len(starts) - 1, max(1, max_tokens // window)).astype(np.int64)]
    device = model.embed.weight.device
    total = torch.zeros(window, dtype=torch.float64)
    for first in range(0, len(starts), 8):
        rows = np.stack([stream[start : start + window + 1] for start in starts[first : first + 8]]).astype(
            np.int64
        )
        rows = torch.from_numpy(rows).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = model(rows[:, :-1])
        losses = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        total += losses.view(len(rows), window).double().sum(0).cpu()
    by_position = [float(part.mean() / len(starts)) for part in total.tensor_split(min(8, window))]
    return HeldOut(float(total.mean() / len(starts)), len(starts) * window, by_position)


@torch.no_grad()
def sample(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: str,
    max_tokens: int,
    end: int,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
) -> str:
    """A continuation of `prompt` by nucleus sampling, without the prompt; stops at `end`.

    The generator is its own: a training run's random state stays as it is.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = [end, *tokenizer.encode(prompt, add_special_tokens=False).ids]
    new: list[int] = []
    while len(new) < max_tokens:
        context = torch.tensor([(ids + new)[-model.config.max_positions :]], device=model.embed.weight.device)
        token = int(_draw(model(context)[0, -1].float().cpu(), temperature, top_p, generator))
        if token == end:
            break
        new.append(token)
    return tokenizer.decode(new)


def _draw(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> Tensor:
    """One token id from logits [V]: the smallest set of likeliest tokens that holds top_p of the mass."""
    probabilities, order = torch.softmax(logits / temperature, dim=-1).sort(descending=True)
    probabilities[probabilities.cumsum(0) - probabilities >= top_p] = 0
    return order[torch.multinomial(probabilities, 1, generator=generator)]
