"""Chooses a divergence by trying each for a small part of the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from reprise_train.distil_task import DistilTask
from reprise_train.divergence import DIVERGENCES
from reprise_train.optim import learning_rate
from reprise_train.report import show_progress
from reprise_train.speedup import best_speedup

_CLIP_NORM = 1.0


@dataclass(frozen=True)
class SweepResult:
    """After the trial: measured acceptance and the speed-up that it predicts."""

    divergence: str
    greedy: float
    accepted: float
    speedup: float
    draft_tokens: int


def sweep(
    make_task: Callable[[str], DistilTask], steps: int, lr: float, cost: float, measure: str
) -> list[SweepResult]:
    """One trial of `steps` steps a divergence, each from the same start; the best first.

    `make_task` builds a fresh task for a divergence. `measure` is agreement_1 to choose for greedy decoding,
    acceptance_1 for sampling at temperature 1.
    """
    results = []
    for kind in DIVERGENCES:
        task = make_task(kind)
        for step in range(steps):
            loss, _ = task.loss(step)
            loss.backward()
            nn.utils.clip_grad_norm_(task.model.parameters(), _CLIP_NORM)
            for optimiser in task.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(lr, lr / 50, step, steps // 10, step / steps)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
        figures = task.evaluate()
        speedup, tokens = best_speedup(figures[measure], cost)
        results.append(
            SweepResult(kind, figures["agreement_1"], figures["acceptance_1"], round(speedup, 4), tokens)
        )
        show_progress(
            f"{kind}: greedy agreement {results[-1].greedy:.3f}, acceptance {results[-1].accepted:.3f}, "
            f"predicted speed-up {speedup:.2f} at {tokens} drafted tokens"
        )
    return sorted(results, key=lambda result: -result.speedup)
