"""DistillSpec: what a draft is trained on, and how it is measured."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.divergence import divergence
from reprise_train.draft_model import Draft
from reprise_train.hidden_data import Batch, HiddenBatches, HiddenSequence, collate
from reprise_train.optim import build_optimisers
from reprise_train.sampler import DraftSampler
from reprise_train.shared_head import SharedHead
from reprise_train.validation import Validation


@dataclass(frozen=True)
class Objective:
    """loss = D(p, q) on text of the student (a share `on_policy` of the steps) or of the target.

    The first `sft_steps` steps are cross-entropy on the target's text instead. D is summed over `temperatures`, those
    of p and q.
    """

    divergence: str = "fkl"
    beta: float = 0.5  # of JSD
    temperatures: tuple[float, ...] = (1.0,)
    on_policy: float = 1.0  # DistillSpec's lambda
    sample_temperature: float = 1.0  # at which the student writes its text
    sample_tokens: int = 128
    sft_steps: int = 0


@dataclass(frozen=True)
class Patience:
    """Stop when `measure`, a field of Agreement.to_dict(), has not grown for `evaluations`; 0: never."""

    measure: str = "acceptance_1"
    evaluations: int = 0


class DistilTask:
    """A draft that learns its target's next-token distribution over the draft vocabulary."""

    loss_name = "Divergence"

    def __init__(
        self,
        draft: Draft,
        target: Base,
        head: SharedHead,
        train: list[HiddenSequence],
        validation: Validation,
        objective: Objective,
        patience: Patience,
        batch_tokens: int,
        seed: int,
        bf16: bool,
        optimiser: str,
        lr: float,
        weight_decay: float,
    ) -> None:
        device = head.embedding.device
        self.model = draft.to(device)
        self.optimisers = build_optimisers(optimiser, draft, lr, weight_decay)
        self._head, self._train, self._validation = head, train, validation
        self._objective, self._patience = objective, patience
        self._batches = HiddenBatches(train, batch_tokens, seed)
        self._batch_tokens, self._seed, self._device, self._bf16 = batch_tokens, seed, device, bf16
        self._target = target.decoder().to(device) if objective.on_policy > 0 else None
        self._sampler = DraftSampler(draft, head, target.stop_ids)
        self._best, self._since_best = 0.0, 0

    def loss(self, step: int, progress: float = 0.0) -> tuple[Tensor, int]:
        objective = self._objective
        draw = random.Random(self._seed * 1_000_003 + step)
        on_policy = step >= objective.sft_steps and draw.random() < objective.on_policy
        batch = self.on_policy_batch(draw) if on_policy else self._batches.batch(step).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            outputs = self.chain(batch, 1)[0]
        student = self._head.draft_logits(outputs[batch.wanted])
        if step < objective.sft_steps:
            return self._cross_entropy(student, batch), len(student)
        with torch.no_grad():
            target = self._head.draft_logits(batch.target_hidden[batch.wanted])
        losses = [
            divergence(objective.divergence, student / t, target / t, objective.beta).mean()
            for t in objective.temperatures
        ]
        return torch.stack(losses).sum(), len(student)

    def _cross_entropy(self, student: Tensor, batch: Batch) -> Tensor:
        """Of the text's own next tokens; those outside the draft vocabulary do not count."""
        following = F.pad(batch.tokens[:, 1:], (0, 1))[batch.wanted]
        row = torch.searchsorted(self._head.draft_ids, following).clamp_max(len(self._head.draft_ids) - 1)
        known = self._head.draft_ids[row] == following
        return F.cross_entropy(student[known].float(), row[known])

    @torch.no_grad()
    def on_policy_batch(self, draw: random.Random) -> Batch:
        """Answers that the student, as it is now, gives to prompts of the data, with the target's states."""
        objective = self._objective
        assert self._target is not None, "the objective has no on-policy share"
        prompts, padded = [], 0
        while not prompts or padded < self._batch_tokens:
            sequence = draw.choice(self._train)
            prompts.append(sequence.tokens[: sequence.answer_start])
            padded = len(prompts) * (max(map(len, prompts)) + objective.sample_tokens)
        generator = torch.Generator(self._device).manual_seed(draw.getrandbits(62))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            written = self._sampler.sample(
                prompts, objective.sample_tokens, objective.sample_temperature, generator
            )
            longest = max(map(len, written))
            ids = torch.stack([F.pad(tokens, (0, longest - len(tokens))) for tokens in written])
            hidden = self._target.hidden(ids.to(self._device)).float().cpu()
        rows = zip(hidden, written, prompts, strict=True)
        sequences = [HiddenSequence(h[: len(w)], w, len(p)) for h, w, p in rows]
        return collate(sequences).to(self._device)

    def chain(self, batch: Batch, depth: int) -> list[Tensor]:
        """The draft's outputs at the slots of the batch; every depth reads true tokens, so there is one."""
        tokens = torch.cat((batch.first[:, None], batch.tokens), dim=1)
        return [self.model(self._head.embed(tokens))[:, 1:]] * depth

    def evaluate(self) -> dict:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            figures = self._validation.measure(self.chain, depth=1).to_dict()
        value = figures[self._patience.measure]
        self._since_best = 0 if value > self._best else self._since_best + 1
        self._best = max(self._best, value)
        out_of_patience = 0 < self._patience.evaluations <= self._since_best
        return figures | ({"stop": True} if out_of_patience else {})
