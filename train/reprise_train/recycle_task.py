"""What a recycle module is trained on, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.divergence import divergence
from reprise_train.hidden_data import Batch, HiddenBatches, HiddenSequence, collate
from reprise_train.optim import build_adamw, build_optimisers
from reprise_train.recycle_module import RecycleModule


@dataclass(frozen=True)
class Objective:
    """loss = mean over chain depths of D(p, q) + feature_weight * smooth L1(output, base's hidden state)."""

    divergence: str = "fkl"
    beta: float = 0.5  # of JSD
    temperature: float = 1.0  # of p and q
    feature_weight: float = 0.0
    noise: float = 0.0  # h is moved by U(-noise, noise)
    depth: int = 1  # chain length


class SharedHead:
    """The base's embedding, and its head restricted to the draft vocabulary; frozen."""

    def __init__(self, base: Base, draft_ids: Tensor, device: torch.device, bf16: bool) -> None:
        dtype = torch.bfloat16 if bf16 else torch.float32
        self.embedding = base.embedding.to(device, dtype)  # [V, D]
        self.full = base.head.to(device, dtype)  # [V, D]
        self.draft_ids = draft_ids.to(device)  # [Vd] ascending base ids
        self.draft = self.full[self.draft_ids]  # [Vd, D]

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding).float()

    def draft_logits(self, outputs: Tensor) -> Tensor:
        """[N, Vd] of outputs [N, D]."""
        return F.linear(outputs.to(self.draft.dtype), self.draft)


class RecycleTask:
    """Distils the base's next-token distribution, over the draft vocabulary, into a module."""

    def __init__(
        self,
        module: RecycleModule,
        head: SharedHead,
        batches: HiddenBatches,
        validation: list[HiddenSequence],
        objective: Objective,
        device: torch.device,
        bf16: bool,
        optimiser: str,
        lr: float,
        weight_decay: float,
    ) -> None:
        self.model = module.to(device)
        build = build_optimisers if optimiser == "muon" else build_adamw
        self.optimisers = build(module, lr, weight_decay)
        self._head, self._batches, self._objective = head, batches, objective
        self._device, self._bf16 = device, bf16
        self._validation = Validation(validation, head, device)

    def loss(self, step: int) -> tuple[Tensor, int]:
        """See `Objective`; p and q are over the draft vocabulary alone."""
        batch = self._batches.batch(step).to(self._device)
        objective = self._objective
        hidden = batch.hidden
        if objective.noise > 0:
            hidden = hidden + (torch.rand_like(hidden) * 2 - 1) * objective.noise
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            outputs = self.model.chain(hidden, self._head.embed(batch.tokens), objective.depth)
        parts = []
        for depth, output in enumerate(outputs):
            wanted = batch.wanted.clone()
            wanted[:, :depth] = False  # no chain of this depth ends there
            parts.append(self._slot_loss(output[wanted], batch.target_hidden[wanted]))
        return torch.stack(parts).mean(), int(batch.wanted.sum())

    def _slot_loss(self, outputs: Tensor, target_hidden: Tensor) -> Tensor:
        """Mean over [N, D] module outputs and the hidden states that they stand in for."""
        objective = self._objective
        with torch.no_grad():
            target = self._head.draft_logits(target_hidden) / objective.temperature
        student = self._head.draft_logits(outputs) / objective.temperature
        loss = divergence(objective.divergence, student, target, objective.beta).mean()
        if objective.feature_weight > 0:
            feature = F.smooth_l1_loss(outputs.float(), target_hidden)
            loss = loss + objective.feature_weight * feature
        return loss

    def evaluate(self) -> dict:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self._validation.measure(self.model, max(2, self._objective.depth)).to_dict()


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
    def measure(self, module: RecycleModule, depth: int) -> Agreement:
        loss = covered = slots = 0.0
        right, tried, accepted = ([0.0] * depth for _ in range(3))
        by_sequence: list[tuple[int, int]] = []
        for batch, (best, log_sums) in zip(self._batches, self._targets, strict=True):
            outputs = module.chain(batch.hidden, self._head.embed(batch.tokens), depth)
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
