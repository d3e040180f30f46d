"""The training loop of everything that is trained here: budget, checkpoints, log, signals."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from reprise_train import checkpoint
from reprise_train.budget import Budget
from reprise_train.checkpoint import Position
from reprise_train.errors import Stopped, TrainError
from reprise_train.optim import learning_rate
from reprise_train.report import PLOT_NAME, Log, duration, show_progress, write_plot

_CLIP_NORM = 1.0


@dataclass(frozen=True)
class LoopSettings:
    """`identity` is what a resumed run must agree on; plain values only."""

    budget: Budget
    lr: float
    min_lr: float
    warmup_steps: int
    log_steps: int
    eval_steps: int
    checkpoint_minutes: float
    identity: dict


class Task(Protocol):
    """What is trained, and on what."""

    model: nn.Module
    optimisers: list[torch.optim.Optimizer]
    loss_name: str  # for people

    def loss(self, step: int, progress: float) -> tuple[torch.Tensor, int]:
        """Loss of batch `step`, at 0…1 of the run, and the tokens that it was trained on."""
        ...

    def evaluate(self) -> dict:
        """Held-out figures, `loss` among them; with `stop` true the run ends early."""
        ...


class Loop:
    """Owns the position of a run in `folder`, and writes there only from `run` on."""

    def __init__(self, task: Task, settings: LoopSettings, folder: Path) -> None:
        self.task, self.settings, self.folder = task, settings, folder
        self.log = Log(folder)
        started = time.time()
        self.position = Position(started=started, deadline=settings.budget.deadline(started))
        self._stop = False

    def resume(self) -> None:
        """Goes back to the last checkpoint. Raises TrainError when it is of a different run."""
        state = checkpoint.load(self.folder)
        wanted = self.settings.identity
        different = [name for name in wanted if state["settings"].get(name) != wanted[name]]
        if different:
            raise TrainError(
                f"the run in {self.folder} was started with another {', '.join(different)}: "
                "resume with the same flags"
            )
        self.position = checkpoint.restore(state, self.task.model, self.task.optimisers)
        if self.settings.budget.until:
            self.position.deadline = self.settings.budget.until
        self.log.rewind(self.position.step)

    def begin(self, resumed: bool, **facts: object) -> None:
        """Logs the settings and `facts` about the run, in a new log unless `resumed`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not resumed:
            self.log.path.unlink(missing_ok=True)  # of a run that was killed before its first checkpoint
        kind = "resume" if resumed else "start"
        self.log.add(kind, step=self.position.step, **self.settings.identity, **facts)

    def run(self) -> None:
        """Trains until the budget is spent, after `begin`.

        Raises Stopped on SIGINT or SIGTERM, with a checkpoint written.
        """
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
        task = self.task
        checkpoint.save(self.folder, self.settings.identity, self.position, task.model, task.optimisers)
        write_plot(self.folder / PLOT_NAME, self.log.read(), task.loss_name)

    def evaluate(self) -> dict:
        """Measures and logs."""
        figures = self.task.evaluate()
        self.log.add("eval", step=self.position.step, tokens=self.position.tokens, **figures)
        shown = "  ".join(
            f"{name} {value:.4f}" for name, value in figures.items() if isinstance(value, float)
        )
        show_progress(f"      step {self.position.step}  {shown}")
        return figures

    def _train(self) -> None:
        settings, position = self.settings, self.position
        last_save = mark = time.time()
        losses: list[float] = []
        tokens = 0
        while (progress := settings.budget.progress(position, time.time())) < 1 and not self._stop:
            lr = learning_rate(settings.lr, settings.min_lr, position.step, settings.warmup_steps, progress)
            before = position.tokens
            loss, norm = self._step(progress, lr)
            losses.append(loss)
            tokens += position.tokens - before
            if position.step % settings.log_steps == 0:
                self._report(progress, sum(losses) / len(losses), norm, lr, tokens / (time.time() - mark))
                losses, tokens, mark = [], 0, time.time()
            if position.step % settings.eval_steps == 0:
                if self.evaluate().get("stop"):
                    break
                mark, tokens = time.time(), 0
            if time.time() - last_save >= 60 * settings.checkpoint_minutes:
                self.save()
                last_save = time.time()

    def _step(self, progress: float, lr: float) -> tuple[float, float]:
        """One optimiser step; raises TrainError when the loss is not finite, before any weight is touched."""
        position, task, begin = self.position, self.task, time.perf_counter()
        loss, tokens = task.loss(position.step, progress)
        if not torch.isfinite(loss):
            raise TrainError(
                f"the loss is {loss.item()} at step {position.step}: start again with a lower --lr"
            )
        loss.backward()
        norm = nn.utils.clip_grad_norm_(task.model.parameters(), _CLIP_NORM)
        for optimiser in task.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        position.step += 1
        position.tokens += tokens
        position.active_seconds += time.perf_counter() - begin
        return loss.item(), norm.item()

    def _report(self, progress: float, loss: float, norm: float, lr: float, speed: float) -> None:
        position = self.position
        self.log.add(
            "step",
            step=position.step,
            tokens=position.tokens,
            loss=round(loss, 4),
            lr=float(f"{lr:.4g}"),
            grad_norm=round(norm, 3),
            tokens_per_second=round(speed),
        )
        left = duration(self.settings.budget.seconds_left(position, time.time()))
        show_progress(
            f"{min(1, progress):4.0%}  step {position.step}  {position.tokens / 1e6:.2f} M tokens  "
            f"loss {loss:.3f}  lr {lr:.1e}  {speed:.0f} tokens/s  {left} left"
        )

    def _on_signal(self, *_: object) -> None:
        self._stop = True


def run_or_exit(loop: Loop) -> None:
    """Runs; a stopped run tells how to go on and exits with 130."""
    try:
        loop.run()
    except Stopped:
        print(f"\nstopped after step {loop.position.step}; go on with --resume", file=sys.stderr)
        raise SystemExit(130) from None
