"""Recovery fine-tuning of a sliced model: LoRA on its matrices, by cross-entropy or from the dense model.

    reprise slice --model BASE --out sliced --calibration text.txt
    reprise tokenize --model BASE < text.txt > ids.txt
    python -m reprise_train.rft --model sliced --ids ids.txt --teacher BASE --out run --minutes 30

SliceGPT's own recipe (§4.1) is cross-entropy with rank 32, alpha 10, sequences of 1,024 tokens; with
--teacher the loss is a divergence from the dense model's next-token distribution instead. The run directory
holds `checkpoint.pt`, `log.jsonl`, `loss.svg` and at the end `model/`, the sliced model with the adapters
merged: the same widths and names, so it is served and quantised like the one it was made from. A run that was
stopped or killed goes on with `--resume`.

Log records: `start` and `resume` carry the settings; `step` has step, tokens, loss, lr, grad_norm,
tokens_per_second; `eval` has loss (cross-entropy on held-out text) and perplexity.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reprise_train import checkpoint
from reprise_train.base_model import Base, load_base
from reprise_train.cli import command_parser, exit_on_error
from reprise_train.divergence import divergence
from reprise_train.errors import TrainError, UsageError
from reprise_train.files import replace_directory
from reprise_train.loop_flags import add_loop_flags, pick_device, run_loop, shown_command
from reprise_train.lora import add_adapters, merged_weights
from reprise_train.objective_flags import add_divergence_flags, check_divergence
from reprise_train.optim import build_optimisers
from reprise_train.report import show_progress
from reprise_train.sliced_model import SlicedDecoder, load_sliced, write_sliced

_PROGRAM = "python -m reprise_train.rft"
_HELD_OUT = 0.05  # share of the sequences, from the end

TARGETS = {
    "attention": ("query", "key", "value", "out"),
    "mlp": ("gate", "up", "down"),
    "shortcuts": ("attention_shortcut", "ffn_shortcut"),
    "head": ("head",),
}


@dataclass(frozen=True)
class Objective:
    """Cross-entropy on the text; with a teacher, D(teacher, student) at temperature 1 instead."""

    divergence: str = "fkl"
    beta: float = 0.5  # of JSD


class RecoveryTask:
    """Adapters of a sliced model on fixed sequences of text, in a seeded order."""

    loss_name = "Loss"

    def __init__(
        self,
        model: SlicedDecoder,
        teacher: Base | None,
        train: Tensor,
        held_out: Tensor,
        objective: Objective,
        options: argparse.Namespace,
        device: torch.device,
    ) -> None:
        """`train` and `held_out` are ids [N, T + 1]."""
        self.model: nn.Module = model.to(device)
        self.optimisers = build_optimisers(options.optimiser, model, options.lr, options.weight_decay)
        self._teacher = teacher.decoder().to(device) if teacher else None
        self._teacher_head = teacher.head.to(device) if teacher else None
        self._train, self._held_out, self._objective = train, held_out, objective
        self._rows = max(1, options.batch_tokens // (train.shape[1] - 1))
        self._seed, self._device, self._bf16 = options.seed, device, not options.fp32

    def loss(self, step: int, progress: float = 0.0) -> tuple[Tensor, int]:
        ids = self._batch(step).to(self._device)
        self.model.train()
        with self._autocast():
            student = self.model(ids[:, :-1])
        if self._teacher is None:
            loss = F.cross_entropy(student.float().flatten(0, 1), ids[:, 1:].flatten())
        else:
            with torch.no_grad(), self._autocast():
                target = F.linear(self._teacher.hidden(ids[:, :-1]), self._teacher_head)
            objective = self._objective
            loss = divergence(
                objective.divergence,
                student.float().flatten(0, 1),
                target.float().flatten(0, 1),
                objective.beta,
            ).mean()
        return loss, ids[:, 1:].numel()

    @torch.no_grad()
    def evaluate(self) -> dict:
        self.model.eval()
        total = 0.0
        for ids in self._held_out.split(1):
            ids = ids.to(self._device)
            with self._autocast():
                logits = self.model(ids[:, :-1])
            total += F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).item()
        loss = total / len(self._held_out)
        return {"loss": loss, "perplexity": math.exp(min(loss, 50.0))}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def _batch(self, step: int) -> Tensor:
        """Rows of an epoch's permutation; epochs follow one another without a gap."""
        count = len(self._train)
        rows = []
        for position in range(step * self._rows, (step + 1) * self._rows):
            epoch, index = divmod(position, count)
            order = torch.randperm(
                count, generator=torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
            )
            rows.append(self._train[order[index]])
        return torch.stack(rows)


def read_sequences(path: Path, length: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Training and held-out sequences [N, length + 1] of the token ids that `reprise tokenize` printed.

    Raises TrainError when there are too few, or ids outside the vocabulary.
    """
    try:
        text = path.read_text(encoding="utf-8")
        ids = torch.tensor([int(word) for word in text.replace(",", " ").strip("[] \n").split()])
    except (OSError, ValueError) as error:
        raise TrainError(f"cannot read token ids from {path}: {error}") from None
    if len(ids) and not (0 <= int(ids.min()) and int(ids.max()) < vocab_size):
        raise TrainError(
            f"{path} has ids outside the vocabulary of {vocab_size}: was it made with this model?"
        )
    count = len(ids) // (length + 1)
    held_out = max(1, round(_HELD_OUT * count))
    if count - held_out < 1:
        raise TrainError(
            f"{path} has {len(ids)} tokens: too few for sequences of {length}; choose a smaller --seq-len"
        )
    rows = ids[: count * (length + 1)].view(count, length + 1)
    return rows[:-held_out], rows[-held_out:]


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(_PROGRAM, "Fine-tune a sliced model with LoRA.")
    add = parser.add_argument_group("input and output").add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="from reprise slice")
    add("--ids", type=Path, required=True, metavar="FILE", help="token ids, from reprise tokenize")
    add("--teacher", type=Path, metavar="PATH", help="the dense model, to distil from; else cross-entropy")
    add("--out", type=Path, required=True, metavar="DIR", help="checkpoints, log, plot; at the end model/")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--seq-len", type=int, default=1024, help="tokens of a training sequence")

    add = parser.add_argument_group("adapters and objective").add_argument
    add("--rank", type=int, default=32, help="of the adapters")
    add("--alpha", type=float, default=10.0, help="adapters are scaled by alpha / rank")
    add("--dropout", type=float, default=0.05, help="before the adapters")
    add(
        "--targets",
        nargs="+",
        choices=tuple(TARGETS),
        default=["attention", "mlp", "head"],
        help="what to adapt",
    )
    add_divergence_flags(add, "teacher", "sliced model")
    add_loop_flags(parser, lr=2e-4, batch_tokens=4096)
    parser.set_defaults(optimiser="adamw")
    return parser


def check(options: argparse.Namespace) -> None:
    """Raises UsageError for values that cannot work."""
    if options.rank < 1 or options.alpha <= 0 or not 0 <= options.dropout < 1:
        raise UsageError("--rank must be at least 1, --alpha above 0, --dropout from 0 to below 1")
    if options.seq_len < 2:
        raise UsageError("--seq-len must be at least 2")
    check_divergence(options)


def load_teacher(path: Path, vocab_size: int) -> Base:
    """Raises TrainError for a model of another vocabulary."""
    teacher = load_base(path)
    if teacher.config.vocab_size != vocab_size:
        raise TrainError(
            f"{path} has {teacher.config.vocab_size} tokens in its vocabulary, the sliced model {vocab_size}"
        )
    return teacher


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with 130 if a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    check(options)
    checkpoint.check_resume(options.out, options.resume)
    device = pick_device(options)
    torch.manual_seed(options.seed)
    model, files = load_sliced(options.model)
    if options.seq_len > model.config.dense.max_positions:
        raise UsageError(f"--seq-len must be at most the model's context, {model.config.dense.max_positions}")
    train, held_out = read_sequences(options.ids, options.seq_len, model.config.dense.vocab_size)
    teacher = load_teacher(options.teacher, model.config.dense.vocab_size) if options.teacher else None
    parts = [part for target in options.targets for part in TARGETS[target]]
    adapted = add_adapters(model, parts, options.rank, options.alpha, options.dropout)
    identity = {name: getattr(options, name) for name in ("seq_len", "rank", "alpha", "dropout", "targets")}
    identity |= {"loss": options.divergence if teacher else "cross-entropy"}
    objective = Objective(options.divergence, options.jsd_beta)
    task = RecoveryTask(model, teacher, train, held_out, objective, options, device)
    loop = run_loop(task, options, identity, adapted=adapted, sequences=len(train), before=task.evaluate())
    figures = loop.evaluate()
    folder = options.out / "model"
    made_by = {"recovery": shown_command(_PROGRAM, arguments)}
    replace_directory(folder, lambda partial: write_sliced(merged_weights(model), files, made_by, partial))
    show_progress(f"{folder}: held-out perplexity {figures['perplexity']:.3f}")


if __name__ == "__main__":
    exit_on_error(main)
