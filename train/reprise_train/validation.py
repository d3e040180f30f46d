"""How well a module or draft guesses what its target says, on held-out text of the target."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.divergence import divergence
from reprise_train.hidden_data import Batch, HiddenSequence, collate
from reprise_train.shared_head import SharedHead

_RESAMPLES = 2000

Chain = Callable[[Batch, int], list[Tensor]]
"""What the head reads, [B, T, D] at the batch's slots, for chain depths 1…n."""


@dataclass(frozen=True)
class Agreement:
    """Figures over the validation slots. Entry i of a list is for chain depth i + 1."""

    loss: float  # FKL over the draft vocabulary, nats, depth 1
    coverage: float  # share of slots whose greedy token the draft vocabulary has
    greedy: list[float]  # the module's best token is the base's, given that the chain was right so far
    accepted: list[float]  # mean sum min(p, q), tokens outside the draft vocabulary having q = 0
    by_sequence: list[tuple[int, int]]  # depth 1: (agreeing, all) slots of each sequence

    def to_dict(self) -> dict:
        figures = {"loss": self.loss, "coverage": self.coverage}
        for depth, (greedy, accepted) in enumerate(zip(self.greedy, self.accepted, strict=True), 1):
            figures |= {f"agreement_{depth}": greedy, f"acceptance_{depth}": accepted}
        return {name: round(value, 4) for name, value in figures.items()}


class Validation:
    """Held-out sequences with the base's own figures, computed once over its whole vocabulary."""

    def __init__(self, sequences: list[HiddenSequence], head: SharedHead, device: torch.device) -> None:
        self._head = head
        ordered = iter(sorted(sequences, key=len))
        self._batches = [collate(part).to(device) for part in iter(lambda: list(islice(ordered, 8)), [])]
        self._targets = [self._target(batch) for batch in self._batches]

    @torch.no_grad()
    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Greedy token and log of the softmax's denominator at the wanted slots, [N] each."""
        best, log_sums = [], []
        for rows in batch.target_hidden[batch.wanted].split(512):
            logits = F.linear(rows.to(self._head.full.dtype), self._head.full).float()
            best.append(logits.argmax(-1))
            log_sums.append(logits.logsumexp(-1))
        return torch.cat(best), torch.cat(log_sums)

    @torch.no_grad()
    def measure(self, chain: Chain, depth: int) -> Agreement:
        """Figures of what `chain` predicts at depths 1…depth."""
        loss = covered = slots = 0.0
        right, tried, accepted = ([0.0] * depth for _ in range(3))
        by_sequence: list[tuple[int, int]] = []
        for batch, (best, log_sums) in zip(self._batches, self._targets, strict=True):
            outputs = chain(batch, depth)
            target = self._head.draft_logits(batch.target_hidden[batch.wanted]).float()
            p = (target - log_sums[:, None]).exp()
            chain_right = batch.wanted.clone()  # slots that a correct chain of this depth would reach
            for level, output in enumerate(outputs):
                student = self._head.draft_logits(output[batch.wanted]).float()
                agree = torch.zeros_like(batch.wanted)
                agree[batch.wanted] = self._head.draft_ids[student.argmax(-1)] == best
                reached = chain_right[batch.wanted]
                right[level] += float((agree & chain_right).sum())
                tried[level] += float(chain_right.sum())
                shared = torch.minimum(student.softmax(-1), p).sum(-1)
                accepted[level] += float(shared[reached].sum())
                if level == 0:
                    loss += float(divergence("fkl", student, target).sum())
                    counts = zip(agree.sum(1).tolist(), batch.wanted.sum(1).tolist(), strict=True)
                    by_sequence += counts
                chain_right = F.pad((agree & chain_right)[:, :-1], (1, 0)) & batch.wanted
            slots += len(best)
            covered += float(torch.isin(best, self._head.draft_ids).sum())
        ratio = [r / max(1.0, t) for r, t in zip(right, tried, strict=True)]
        mean = [a / max(1.0, t) for a, t in zip(accepted, tried, strict=True)]
        return Agreement(loss / slots, covered / slots, ratio, mean, by_sequence)


def interval(by_sequence: list[tuple[int, int]], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the pooled rate, sequences resampled whole."""
    draw = random.Random(seed)
    rates = []
    for _ in range(_RESAMPLES):
        chosen = draw.choices(by_sequence, k=len(by_sequence))
        rates.append(sum(right for right, _ in chosen) / max(1, sum(slots for _, slots in chosen)))
    rates.sort()
    return rates[int(0.025 * _RESAMPLES)], rates[int(0.975 * _RESAMPLES)]


def thinned(records: list[dict], count: int) -> list[dict]:
    """At most about `count` records, evenly spaced, the last one among them."""
    stride = max(1, len(records) // count)
    return records[::-1][::stride][::-1]
