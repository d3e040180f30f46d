"""The training loop."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import torch

from reprise_train import checkpoint
from reprise_train.checkpoint import Position
from reprise_train.data import Batches, Corpus
from reprise_train.errors import Stopped, TrainError
from reprise_train.evaluate import held_out_loss
from reprise_train.joint import JointModel
from reprise_train.model import Decoder
from reprise_train.optim import build_optimisers, learning_rate
from reprise_train.report import PLOT_NAME, Log, duration, show_progress, write_plot
from reprise_train.settings import Settings

_CLIP_NORM = 1.0
_EVAL_TOKENS = 64 * 1024  # of the held-out text, at each interval; the final figure uses all of it


class Trainer:
    """Owns model, optimisers and position; writes only into `folder`, and not before `run`.

    `model` is what is trained: `decoder`, or that and a recycle module.
    """

    def __init__(self, settings: Settings, corpus: Corpus, folder: Path) -> None:
        """Raises TrainError when the corpus is shorter than a batch."""
        torch.manual_seed(settings.seed)
        self.settings, self.corpus, self.folder = settings, corpus, folder
        self.batches = Batches(corpus.train, settings.batch_tokens, settings.lengths.longest, settings.seed)
        self.decoder = Decoder(settings.model)
        self.model: Decoder | JointModel = self.decoder
        if settings.recycle_layers > 0:
            self.model = JointModel(self.decoder, settings.recycle_layers, settings.recycle_weight)
        self.model.to(settings.device)
        self.optimisers = build_optimisers(self.model, settings.lr, settings.weight_decay)
        self.log = Log(folder)
        started = time.time()
        self.position = Position(started=started, deadline=settings.budget.deadline(started))
        self._loss = torch.compile(self.model.loss, dynamic=False) if settings.compile else self.model.loss
        self._stop = False

    def resume(self) -> None:
        """Goes back to the last checkpoint. Raises TrainError when it is of a different run."""
        state = checkpoint.load(self.folder)
        wanted = self.settings.identity()
        different = [name for name in wanted if state["settings"].get(name) != wanted[name]]
        if different:
            names = ", ".join(different)
            raise TrainError(
                f"the run in {self.folder} was started with another {names}: resume with the same flags"
            )
        self.position = checkpoint.restore(state, self.model, self.optimisers)
        if self.settings.budget.until:
            self.position.deadline = self.settings.budget.until
        self.log.rewind(self.position.step)

    def run(self) -> None:
        """Trains until the budget is spent. Raises Stopped on SIGINT or SIGTERM, after a checkpoint."""
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._train()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.save()
        if self._stop:
            raise Stopped

    def save(self) -> None:
        """Writes the checkpoint and the plot."""
        checkpoint.save(self.folder, self.settings.identity(), self.position, self.model, self.optimisers)
        write_plot(self.folder / PLOT_NAME, self.log.read())

    def _train(self) -> None:
        settings, position = self.settings, self.position
        last_save = mark = time.time()
        losses: list[float] = []
        while (progress := settings.budget.progress(position, time.time())) < 1 and not self._stop:
            length = settings.lengths.at(progress)
            lr = learning_rate(settings.lr, settings.min_lr, position.step, settings.warmup_steps, progress)
            loss, norm = self._step(length, lr)
            losses.append(loss)
            if position.step % settings.log_steps == 0:
                speed = len(losses) * settings.batch_tokens / max(1e-9, time.time() - mark)
                self._report(progress, sum(losses) / len(losses), norm, lr, length, speed)
                losses, mark = [], time.time()
            if position.step % settings.eval_steps == 0:
                self._evaluate()
                mark = time.time()
            if time.time() - last_save >= 60 * settings.checkpoint_minutes:
                self.save()
                last_save = time.time()

    def _step(self, length: int, lr: float) -> tuple[float, float]:
        """One optimiser step on the next batch, in rows of `length`; returns loss and gradient norm.

        Raises TrainError when the loss is not finite, before any weight is touched.
        """
        position, begin = self.position, time.perf_counter()
        inputs, targets = (
            part.to(self.settings.device) for part in self.batches.batch(position.step, length)
        )
        with torch.autocast(self.settings.device.type, dtype=torch.bfloat16, enabled=self.settings.bf16):
            loss = self._loss(inputs, targets)
        if not torch.isfinite(loss):
            raise TrainError(
                f"the loss is {loss.item()} at step {position.step}: start again with a lower --lr"
            )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP_NORM)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        position.step += 1
        position.tokens += self.settings.batch_tokens
        position.active_seconds += time.perf_counter() - begin
        return loss.item(), norm.item()

    def _report(
        self, progress: float, loss: float, norm: float, lr: float, length: int, speed: float
    ) -> None:
        position = self.position
        self.log.add(
            "step",
            step=position.step,
            tokens=position.tokens,
            loss=round(loss, 4),
            lr=float(f"{lr:.4g}"),
            grad_norm=round(norm, 3),
            seq_len=length,
            tokens_per_second=round(speed),
        )
        left = duration(self.settings.budget.seconds_left(position, time.time()))
        show_progress(
            f"{min(1, progress):4.0%}  step {position.step}  {position.tokens / 1e6:.1f} M tokens  "
            f"loss {loss:.3f}  lr {lr:.1e}  length {length}  {speed / 1000:.1f} k tokens/s  {left} left"
        )

    def _evaluate(self) -> None:
        settings, position = self.settings, self.position
        window = settings.lengths.longest
        result = held_out_loss(self.decoder, self.corpus.held_out, window, _EVAL_TOKENS, settings.bf16)
        self.log.add(
            "eval",
            step=position.step,
            tokens=position.tokens,
            loss=round(result.loss, 4),
            perplexity=round(result.perplexity, 3),
        )
        show_progress(
            f"      step {position.step}  held-out loss {result.loss:.3f}  perplexity {result.perplexity:.2f}"
        )

    def _on_signal(self, *_: object) -> None:
        self._stop = True
