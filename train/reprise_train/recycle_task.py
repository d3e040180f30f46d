"""What a recycle module is trained on, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.divergence import divergence
from reprise_train.hidden_data import Batch, HiddenBatches, HiddenSequence
from reprise_train.optim import build_optimisers
from reprise_train.recycle_module import RecycleModule
from reprise_train.shared_head import SharedHead
from reprise_train.validation import Validation


@dataclass(frozen=True)
class Objective:
    """loss = mean over chain depths of D(p, q) + feature_weight * smooth L1(output, base's hidden state)."""

    divergence: str = "fkl"
    beta: float = 0.5  # of JSD
    temperature: float = 1.0  # of p and q
    feature_weight: float = 0.0
    noise: float = 0.0  # h is moved by U(-noise, noise)
    depth: int = 1  # chain length


class RecycleTask:
    """Distils the base's next-token distribution, over the draft vocabulary, into a module."""

    loss_name = "Divergence"

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
        self.optimisers = build_optimisers(optimiser, module, lr, weight_decay)
        self._head, self._batches, self._objective = head, batches, objective
        self._device, self._bf16 = device, bf16
        self._validation = Validation(validation, head, device)

    def loss(self, step: int, progress: float = 0.0) -> tuple[Tensor, int]:
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
            return self._validation.measure(self.chain, max(2, self._objective.depth)).to_dict()

    def chain(self, batch: Batch, depth: int) -> list[Tensor]:
        """The module's outputs at the slots of the batch, for chain depths 1…depth."""
        return self.model.chain(batch.hidden, self._head.embed(batch.tokens), depth)
