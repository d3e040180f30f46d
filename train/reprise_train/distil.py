"""Distils a draft model for speculative decoding from its target, as in DistillSpec.

    reprise extract --model TARGET --tokens answers.jsonl --out hidden
    python -m reprise_train.distil --target TARGET --hidden hidden --validation held-out --out run

The draft has the target's first layers, shares its embedding and head, and drafts from a reduced vocabulary.
Text of the target comes with its hidden states from `reprise extract`; on-policy text is sampled from the
draft as it is at that step and scored by the target in PyTorch. The run directory holds `checkpoint.pt`,
`log.jsonl`, `loss.svg` and at the end `draft/`, which the daemon loads with --draft. A run that was stopped
or killed goes on with `--resume`. With `--sweep` each divergence is first tried for a few steps; the best is
then used.

Log records: as in `recycle.py`; `start` also has the trials of a sweep.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from reprise_train import checkpoint
from reprise_train.base_model import Base, load_base
from reprise_train.cli import command_parser, exit_on_error
from reprise_train.distil_card import draft_card
from reprise_train.distil_sweep import SweepResult, sweep
from reprise_train.distil_task import DistilTask, Objective, Patience
from reprise_train.draft_model import Draft, export_draft, load_draft
from reprise_train.errors import UsageError
from reprise_train.hidden_data import HiddenSequence
from reprise_train.loop import Loop
from reprise_train.loop_flags import add_loop_flags, loop_settings, pick_device, run_loop, shown_command
from reprise_train.objective_flags import add_divergence_flags, check_divergence
from reprise_train.report import show_progress
from reprise_train.shared_head import SharedHead
from reprise_train.training_data import (
    add_data_flags,
    answer_tokens,
    digest,
    draft_vocabulary,
    read_sequences,
)
from reprise_train.validation import Validation

_PROGRAM = "python -m reprise_train.distil"


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(_PROGRAM, "Distil a draft model from its target.")
    add = parser.add_argument_group("input and output").add_argument
    add("--target", type=Path, required=True, help="Hugging Face directory or GGUF file")
    add_data_flags(add, result="draft/")

    add = parser.add_argument_group("draft").add_argument
    add("--layers", type=int, default=2, help="decoder layers")
    add("--init", choices=("target", "random"), default="target", help="start as the target's first layers")
    add("--start", type=Path, metavar="DIR", help="a trained draft to go on from, with its draft vocabulary")

    add = parser.add_argument_group("objective").add_argument
    add_divergence_flags(add, "target", "draft")
    add(
        "--temperature",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="T",
        help="of both distributions; of several the divergences are summed",
    )
    add(
        "--on-policy", type=float, default=1.0, help="share of the steps on text of the draft itself (lambda)"
    )
    add("--sample-temperature", type=float, default=1.0, help="at which the draft writes its text")
    add("--sample-tokens", type=int, default=128, help="longest on-policy answer")
    add("--sft-steps", type=int, default=0, help="first steps, by cross-entropy on the target's text")
    add("--decode", choices=("greedy", "sample"), default="sample", help="what early stop and sweep look at")
    add("--patience", type=int, default=0, help="evaluations without progress that end the run; 0: never")
    add("--sweep", type=int, default=0, metavar="STEPS", help="steps to try each divergence for; 0: no sweep")
    add("--cost", type=float, help="time of a draft step over a target pass; if not given, from the sizes")
    add_loop_flags(parser, lr=2e-3, batch_tokens=2048)
    return parser


def objective_from(options: argparse.Namespace) -> Objective:
    """Raises UsageError for values that cannot work."""
    check_divergence(options)
    if not 0 <= options.on_policy <= 1:
        raise UsageError("--on-policy must be between 0 and 1")
    if not all(0 < t < math.inf for t in options.temperature) or not 0 <= options.sample_temperature < math.inf:
        raise UsageError("--temperature must be above 0 and --sample-temperature at least 0, both finite")
    if options.sample_tokens < 2 or min(options.sft_steps, options.patience, options.sweep) < 0:
        raise UsageError("--sample-tokens must be at least 2; --sft-steps, --patience and --sweep at least 0")
    return Objective(
        options.divergence,
        options.jsd_beta,
        tuple(options.temperature),
        options.on_policy,
        options.sample_temperature,
        options.sample_tokens,
        options.sft_steps,
    )


def size_ratio(draft: Draft, target: Base, draft_vocab: int) -> float:
    """Weights read by a draft step over those read by a target pass."""
    head = target.head.numel()
    layers = sum(weight.numel() for name, weight in target.weights.items() if name.startswith("layers."))
    return (draft.num_parameters() + head * draft_vocab / target.config.vocab_size) / (layers + head)


@dataclass(frozen=True)
class Setup:
    """What every trial and the run itself share."""

    options: argparse.Namespace
    objective: Objective
    target: Base
    head: SharedHead
    train: list[HiddenSequence]
    validation: Validation
    trained: Draft | None  # of --start

    @property
    def measure(self) -> str:
        """The figure that early stop and sweep look at."""
        return "agreement_1" if self.options.decode == "greedy" else "acceptance_1"

    def task(self, divergence: str) -> DistilTask:
        """A draft at its start, to be trained by `divergence`."""
        options = self.options
        torch.manual_seed(options.seed)
        draft = Draft(self.target, options.layers)
        if self.trained is not None:
            draft.load_state_dict(self.trained.state_dict())
        elif options.init == "target":
            draft.start_from(self.target)
        return DistilTask(
            draft,
            self.target,
            self.head,
            self.train,
            self.validation,
            replace(self.objective, divergence=divergence),
            Patience(self.measure, options.patience),
            options.batch_tokens,
            options.seed,
            not options.fp32,
            options.optimiser,
            options.lr,
            options.weight_decay,
        )

    def trials(self) -> list[SweepResult]:
        """Each divergence tried for --sweep steps, the best first."""
        options = self.options
        cost = options.cost
        if cost is None:
            cost = size_ratio(Draft(self.target, options.layers), self.target, len(self.head.draft_ids))
        return sweep(self.task, options.sweep, options.lr, cost, self.measure)

    def identity(self, divergence: str) -> dict:
        """What a resumed run must agree on."""
        return asdict(self.objective) | {
            "divergence": divergence,
            "base": self.target.fingerprint(),
            "layers": self.options.layers,
            "draft_ids": digest(self.head.draft_ids),
            "init": self.options.init if self.options.start is None else self.options.start.name,
            "sweep": self.options.sweep,
        }


def first_draft(
    options: argparse.Namespace, target: Base, train: list[HiddenSequence]
) -> tuple[Draft | None, Tensor]:
    """The draft of --start, and the ids that are drafted. Raises UsageError or TrainError."""
    if options.start is None:
        return None, draft_vocabulary(options, target, train)
    trained, draft_ids = load_draft(options.start, target)
    if len(trained.layers) != options.layers:
        raise UsageError(f"--layers {options.layers}, but {options.start} has {len(trained.layers)}")
    return trained, draft_ids


def read_setup(options: argparse.Namespace) -> Setup:
    """Raises UsageError or TrainError."""
    objective, device = objective_from(options), pick_device(options)
    target = load_base(options.target)
    train, held_out = read_sequences(options, target)
    trained, draft_ids = first_draft(options, target, train)
    head = SharedHead(target, draft_ids, device, bf16=not options.fp32)
    return Setup(options, objective, target, head, train, Validation(held_out, head, device), trained)


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with 130 if a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    checkpoint.check_resume(options.out, options.resume)
    setup = read_setup(options)
    loop_settings(options, {})  # refuses impossible flags before the sweep
    divergence, trials = options.divergence, []
    if options.resume and options.sweep:
        divergence = checkpoint.load(options.out)["settings"].get("divergence", divergence)
    elif options.sweep:
        trials = setup.trials()
        divergence = trials[0].divergence

    task = setup.task(divergence)
    loop = run_loop(
        task,
        options,
        setup.identity(divergence),
        parameters=task.model.num_parameters(),
        train_tokens=answer_tokens(setup.train),
        trials=[asdict(trial) for trial in trials],
    )
    finish(loop, setup, shown_command(_PROGRAM, arguments))


def finish(loop: Loop, setup: Setup, command: str) -> None:
    """Exports the draft, measures what was exported, writes its card."""
    folder = loop.folder / "draft"
    task, target, draft_ids = loop.task, setup.target, setup.head.draft_ids
    export_draft(task.model, target, draft_ids, folder, card="")
    exported, _ = load_draft(folder, target)
    task.model.load_state_dict(exported.state_dict())
    result = setup.validation.measure(task.chain, depth=1)
    figures = result.to_dict()
    loop.log.add("end", step=loop.position.step, tokens=loop.position.tokens, **figures)
    card = draft_card(target, task.model, len(draft_ids), loop, result, command)
    export_draft(task.model, target, draft_ids, folder, card)
    show_progress(
        f"{folder}: greedy agreement {figures['agreement_1']:.3f}, acceptance {figures['acceptance_1']:.3f}"
    )


if __name__ == "__main__":
    exit_on_error(main)
