"""Trains a recycle module for a frozen base on hidden states that `reprise extract` made.

    reprise extract --model BASE --tokens answers.jsonl --out hidden
    python -m reprise_train.recycle --base BASE --hidden hidden --validation held-out --out run --minutes 45

The run directory holds `checkpoint.pt`, `log.jsonl`, `loss.svg` and at the end `module/`, which the daemon
loads with --recycle. A run that was stopped or killed goes on with `--resume`; more `--hidden`
directories may then be named, if `--frequencies` fixes the draft vocabulary.

Log records: `start` and `resume` carry the settings; `step` has step, tokens (answer tokens trained on), loss
(the mean since the last record), lr, grad_norm, tokens_per_second; `eval` has loss (FKL), coverage and, by
chain depth, agreement_i (the module's best token is the base's greedy one) and acceptance_i (sum min(p, q)).
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from reprise_train import checkpoint
from reprise_train.base_model import Base
from reprise_train.cli import command_parser, exit_on_error
from reprise_train.errors import UsageError
from reprise_train.hidden_data import HiddenBatches, HiddenSequence
from reprise_train.loop import Loop
from reprise_train.loop_flags import add_loop_flags, pick_device, run_loop, shown_command
from reprise_train.objective_flags import add_divergence_flags, check_divergence
from reprise_train.recycle_card import module_card
from reprise_train.recycle_export import export_module, load_module
from reprise_train.recycle_init import start_from_base
from reprise_train.recycle_module import ModuleConfig, RecycleModule
from reprise_train.recycle_task import Objective, RecycleTask
from reprise_train.report import show_progress
from reprise_train.shared_head import SharedHead
from reprise_train.sliced_base import load_any_base
from reprise_train.training_data import (
    add_data_flags,
    answer_tokens,
    digest,
    draft_vocabulary,
    read_sequences,
)
from reprise_train.validation import Validation

_PROGRAM = "python -m reprise_train.recycle"


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(_PROGRAM, "Train a recycle module for a frozen base model.")
    add = parser.add_argument_group("input and output").add_argument
    add(
        "--base",
        type=Path,
        required=True,
        help="Hugging Face directory (also a sliced one) or GGUF file",
    )
    add_data_flags(add, result="module/")

    add = parser.add_argument_group("module").add_argument
    add("--layers", type=int, default=1, help="decoder layers")
    add(
        "--init",
        choices=("base", "random"),
        default="base",
        help="start as the base's last layers, or afresh",
    )

    add("--start", type=Path, metavar="DIR", help="a trained module to go on from, with its draft vocabulary")

    add = parser.add_argument_group("objective").add_argument
    add_divergence_flags(add, "base", "module")
    add("--temperature", type=float, default=1.0, help="of both distributions")
    add(
        "--feature-weight",
        type=float,
        default=0.0,
        help="of the smooth L1 distance to the base's hidden state",
    )
    add("--noise", type=float, default=0.0, help="hidden states are moved by up to this much")
    add("--unroll", type=int, default=1, help="chain length to train: the module on its own outputs")
    add_loop_flags(parser, lr=2e-3, batch_tokens=4096)
    return parser


def objective_from(options: argparse.Namespace) -> Objective:
    """Raises UsageError for values that cannot work."""
    check_divergence(options)
    if not 0 < options.temperature < math.inf:
        raise UsageError("--temperature must be above 0, and finite")
    if options.feature_weight < 0 or options.noise < 0:
        raise UsageError("--feature-weight and --noise must be at least 0")
    return Objective(
        options.divergence,
        options.jsd_beta,
        options.temperature,
        options.feature_weight,
        options.noise,
        options.unroll,
    )


def first_module(
    options: argparse.Namespace, base: Base, train: list[HiddenSequence]
) -> tuple[RecycleModule, torch.Tensor]:
    """The module before training and the ids that it drafts. Raises UsageError or TrainError."""
    width = base.embedding.shape[1]
    module = RecycleModule(ModuleConfig(base.config, options.layers, options.unroll, width))
    if options.start is not None:
        trained, draft_ids = load_module(options.start, base)
        if trained.config.num_layers != options.layers:
            raise UsageError(
                f"--layers {options.layers}, but {options.start} has {trained.config.num_layers}"
            )
        module.load_state_dict(trained.state_dict())
        return module, draft_ids
    if options.init == "base" and not options.resume:
        start_from_base(module, base, train)
    return module, draft_vocabulary(options, base, train)


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with 130 if a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    checkpoint.check_resume(options.out, options.resume)
    objective = objective_from(options)
    device = pick_device(options)
    torch.manual_seed(options.seed)

    base = load_any_base(options.base)
    train, validation = read_sequences(options, base)
    module, draft_ids = first_module(options, base, train)
    identity = asdict(objective) | {
        "base": base.fingerprint(),
        "layers": options.layers,
        "draft_ids": digest(draft_ids),
        "init": options.init if options.start is None else options.start.name,
    }
    bf16 = not options.fp32
    task = RecycleTask(
        module,
        SharedHead(base, draft_ids, device, bf16),
        HiddenBatches(train, options.batch_tokens, options.seed),
        validation,
        objective,
        device,
        bf16,
        options.optimiser,
        options.lr,
        options.weight_decay,
    )
    loop = run_loop(
        task, options, identity, parameters=module.num_parameters(), train_tokens=answer_tokens(train)
    )
    finish(loop, base, draft_ids, validation, device, shown_command(_PROGRAM, arguments))


def finish(
    loop: Loop,
    base: Base,
    draft_ids: torch.Tensor,
    validation: list[HiddenSequence],
    device: torch.device,
    command: str,
) -> None:
    """Exports the module, measures what was exported, writes its card."""
    folder = loop.folder / "module"
    module = loop.task.model
    export_module(module, base, draft_ids, folder, card="")
    exported, ids = load_module(folder, base)
    head = SharedHead(base, ids, device, bf16=True)
    exported.to(device)
    result = Validation(validation, head, device).measure(
        lambda batch, depth: exported.chain(batch.hidden, head.embed(batch.tokens), depth), depth=4
    )
    figures = result.to_dict()
    loop.log.add("end", step=loop.position.step, tokens=loop.position.tokens, **figures)
    card = module_card(base, module, len(draft_ids), loop, result, command)
    export_module(module, base, draft_ids, folder, card)
    show_progress(
        f"{folder}: greedy agreement {figures['agreement_1']:.3f}, acceptance {figures['acceptance_1']:.3f}"
    )


if __name__ == "__main__":
    exit_on_error(main)
