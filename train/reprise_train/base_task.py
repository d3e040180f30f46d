"""What the base model is trained on, and how it is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise_train.data import Batches, Corpus
from reprise_train.evaluate import held_out_loss
from reprise_train.joint import JointModel
from reprise_train.model import Decoder
from reprise_train.optim import build_optimisers
from reprise_train.settings import Settings

_EVAL_TOKENS = 64 * 1024  # of the held-out text, at each interval; the final figure uses all of it


class BaseTask:
    """Next-token prediction on a text. `model` is trained: `decoder`, or that and a recycle module."""

    loss_name = "Cross-entropy"

    def __init__(self, settings: Settings, corpus: Corpus) -> None:
        """Raises TrainError when the corpus is shorter than a batch."""
        torch.manual_seed(settings.seed)
        self.settings, self.corpus = settings, corpus
        self.batches = Batches(corpus.train, settings.batch_tokens, settings.lengths.longest, settings.seed)
        self.decoder = Decoder(settings.model)
        self.model: Decoder | JointModel = self.decoder
        if settings.recycle_layers > 0:
            self.model = JointModel(self.decoder, settings.recycle_layers, settings.recycle_weight)
        self.model.to(settings.device)
        self.optimisers = build_optimisers(settings.optimiser, self.model, settings.lr, settings.weight_decay)
        self._loss = torch.compile(self.model.loss, dynamic=False) if settings.compile else self.model.loss

    def loss(self, step: int, progress: float) -> tuple[Tensor, int]:
        """Rows grow longer as the run goes on: see `LengthSchedule`."""
        settings = self.settings
        batch = self.batches.batch(step, settings.lengths.at(progress))
        inputs, targets = (part.to(settings.device) for part in batch)
        with torch.autocast(settings.device.type, torch.bfloat16, enabled=settings.bf16):
            return self._loss(inputs, targets), settings.batch_tokens

    def evaluate(self) -> dict:
        window, bf16 = self.settings.lengths.longest, self.settings.bf16
        result = held_out_loss(self.decoder, self.corpus.held_out, window, _EVAL_TOKENS, bf16)
        return {"loss": round(result.loss, 4), "perplexity": round(result.perplexity, 3)}
