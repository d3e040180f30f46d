"""Joint training from scratch of a base model and its recycle module: RecycleGPT's own recipe (§3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprise_train.base_model import load_base
from reprise_train.data import Corpus
from reprise_train.hidden_data import count_tokens, most_frequent
from reprise_train.model import Decoder
from reprise_train.recycle_card import joint_module_card
from reprise_train.recycle_export import export_module
from reprise_train.recycle_module import ModuleConfig, RecycleModule

_MEASURED_WINDOWS = 16


class JointModel(nn.Module):
    """L = L_AR + weight * L_rec: both cross-entropies against the text, from one pass of the base.

    The hidden states are not detached, so the base learns to leave in them what the module needs. Embedding
    and head are the base's.
    """

    def __init__(self, base: Decoder, layers: int, weight: float) -> None:
        super().__init__()
        self.base = base
        self.recycle = RecycleModule(ModuleConfig(base.config, layers))
        self.weight = weight

    def outputs(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the head reads, of the base [B, T, D] and, of slots 1…T-1, of the module [B, T-1, D]."""
        hidden = self.base.hidden(ids)
        return hidden, self.recycle(hidden[:, :-1], self.base.embed(ids[:, 1:]))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Nats a token, of targets [B, T] after ids [B, T]."""
        hidden, recycled = self.outputs(ids)
        head = self.base.embed.weight
        loss = F.cross_entropy(F.linear(hidden, head).float().flatten(0, 1), targets.flatten())
        guess = F.cross_entropy(F.linear(recycled, head).float().flatten(0, 1), targets[:, 1:].flatten())
        return loss + self.weight * guess

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


@torch.no_grad()
def agreement(model: JointModel, stream: np.ndarray, window: int, draft_ids: Tensor) -> tuple[float, int]:
    """How often the module's best draftable token is the base's own best, on held-out text, and the slots."""
    device = model.base.embed.weight.device
    draft_ids = draft_ids.to(device)
    starts = np.linspace(0, max(0, len(stream) - window - 1), _MEASURED_WINDOWS).astype(np.int64)
    agreed = slots = 0
    for start in starts:
        ids = torch.from_numpy(stream[start : start + window].astype(np.int64))[None].to(device)
        hidden, recycled = model.outputs(ids)
        head = model.base.embed.weight
        best = F.linear(hidden[:, 1:], head).argmax(-1)
        guess = draft_ids[F.linear(recycled, head[draft_ids]).argmax(-1)]
        agreed += int((guess == best).sum())
        slots += best.numel()
    return agreed / slots, slots


def export_joint_module(
    model: JointModel,
    corpus: Corpus,
    base_folder: Path,
    folder: Path,
    draft_vocab: int,
    window: int,
    command: str,
) -> float:
    """Writes the module for the base exported to `base_folder`; returns its greedy agreement.

    It drafts from the `draft_vocab` ids most frequent in the training text; 0 means all.
    """
    base = load_base(base_folder)
    vocab_size = base.config.vocab_size
    seen = count_tokens([corpus.train.astype(np.int64)], vocab_size)
    draft_ids = most_frequent(seen, min(draft_vocab or vocab_size, vocab_size))
    rate, slots = agreement(model, corpus.held_out, window, draft_ids)
    card = joint_module_card(base, model.recycle, model.weight, len(draft_ids), rate, slots, command)
    export_module(model.recycle, base, draft_ids, folder, card)
    return rate
