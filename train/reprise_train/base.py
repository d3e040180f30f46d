"""Trains the embedded target model from scratch: tokenizer, then a small Llama-architecture decoder.

    python -m reprise_train.base --data tales.txt.xz --out run --minutes 120

The run directory holds the prepared text, `checkpoint.pt`, `log.jsonl`, `loss.svg` and, at the end, `model/`, the
exported Hugging Face directory. A run that was stopped or killed goes on with `--resume`.

Log records (`log.jsonl`): `start` and `resume` carry the settings; `step` has step, tokens, loss (nats a token, mean
since the last record), lr, grad_norm, seq_len, tokens_per_second; `eval` has step, tokens, loss, perplexity; `end`
has what the model card says.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from reprise_train import checkpoint
from reprise_train.budget import Budget, LengthSchedule, parse_time
from reprise_train.card import Results, model_card
from reprise_train.checkpoint import Position
from reprise_train.cli import exit_on_error
from reprise_train.data import Batches, Corpus, load_corpus, prepare_corpus
from reprise_train.errors import TrainError, UsageError
from reprise_train.evaluate import held_out_loss, sample
from reprise_train.export import export, load_exported
from reprise_train.model import Decoder, ModelConfig
from reprise_train.optim import build_optimisers, learning_rate
from reprise_train.report import PLOT_NAME, Log, duration, show_progress, write_plot
from reprise_train.tokenizer import end_of_text_id

SAMPLE_PROMPT = "Once upon a time there was a poor woodcutter who"
_CLIP_NORM = 1.0
_EVAL_TOKENS = 64 * 1024      # of the held-out text, at each interval; the final figure uses all of it


@dataclass(frozen=True)
class Settings:
    """One run's choices, checked. `identity` is what a resumed run must agree on."""

    model: ModelConfig
    lengths: LengthSchedule
    batch_tokens: int
    lr: float
    min_lr: float
    warmup_steps: int
    weight_decay: float
    held_out_share: float
    seed: int
    budget: Budget
    eval_steps: int
    log_steps: int
    checkpoint_minutes: float
    bf16: bool
    compile: bool

    def __post_init__(self) -> None:
        """Raises UsageError for choices that cannot work."""
        if self.batch_tokens < self.lengths.longest or self.batch_tokens % self.lengths.longest:
            raise UsageError(f"--batch-tokens {self.batch_tokens} is not a multiple of the longest sequence, {self.lengths.longest}")
        if self.model.max_positions < self.lengths.longest:
            raise UsageError(f"--max-positions {self.model.max_positions} is below the longest sequence, {self.lengths.longest}")
        if self.model.vocab_size > 65536:
            raise UsageError("--vocab-size must be at most 65536: tokens are stored in 16 bits")
        if not 0 < self.held_out_share < 1:
            raise UsageError("--held-out must be between 0 and 1")
        if not 0 <= self.min_lr <= self.lr or self.lr <= 0:
            raise UsageError("--lr must be above 0 and --min-lr between 0 and --lr")
        for name in ("eval_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1")

    def identity(self) -> dict:
        return {
            "model": self.model.to_dict(), "batch_tokens": self.batch_tokens, "seed": self.seed, "lr": self.lr, "min_lr": self.min_lr,
            "warmup_steps": self.warmup_steps, "weight_decay": self.weight_decay, "held_out_share": self.held_out_share,
            "seq_len": ",".join(f"{length}@{share:g}" for length, share in self.lengths.stages),
        }


class Stopped(Exception):
    """A signal asked the run to end; its checkpoint is written."""


class Trainer:
    """The training loop: owns model, optimisers and position, writes only into `folder`."""

    def __init__(self, settings: Settings, corpus: Corpus, folder: Path) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.corpus, self.folder = settings, corpus, folder
        self.model = Decoder(settings.model)
        self.optimisers = build_optimisers(self.model, settings.lr, settings.weight_decay)
        self.batches = Batches(corpus.train, settings.batch_tokens, settings.lengths.longest, settings.seed)
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
            raise TrainError(f"the run in {self.folder} was started with another {', '.join(different)}: use the same flags to resume it")
        self.position = checkpoint.restore(state, self.model, self.optimisers)
        if self.settings.budget.until:
            self.position.deadline = self.settings.budget.until
        self.log.rewind(self.position.step)

    def run(self) -> None:
        """Trains until the budget is spent. Raises Stopped on SIGINT or SIGTERM, after a checkpoint."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        settings, position = self.settings, self.position
        last_save, losses, mark = time.time(), [], time.perf_counter()
        while (progress := settings.budget.progress(position, time.time())) < 1 and not self._stop:
            loss, norm, lr, length = self._step(progress)
            losses.append(loss)
            if position.step % settings.log_steps == 0:
                seconds = time.perf_counter() - mark
                self._report(sum(losses) / len(losses), norm, lr, length, len(losses) * settings.batch_tokens / seconds, progress)
                losses, mark = [], time.perf_counter()
            if position.step % settings.eval_steps == 0:
                self._evaluate()
                mark = time.perf_counter()
            if time.time() - last_save >= 60 * settings.checkpoint_minutes:
                self.save()
                last_save = time.time()
        self.save()
        if self._stop:
            raise Stopped

    def save(self) -> None:
        checkpoint.save(self.folder, self.settings.identity(), self.position, self.model, self.optimisers)
        write_plot(self.folder / PLOT_NAME, self.log.read())

    def _step(self, progress: float) -> tuple[float, float, float, int]:
        """One optimiser step; returns loss, gradient norm, learning rate and sequence length."""
        settings, position = self.settings, self.position
        begin = time.perf_counter()
        length = settings.lengths.at(progress)
        inputs, targets = self.batches.batch(position.step, length)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
            loss = self._loss(inputs, targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP_NORM)
        lr = learning_rate(settings.lr, settings.min_lr, position.step, settings.warmup_steps, progress)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise TrainError(f"the loss is {loss.item()} at step {position.step}: lower --lr and resume from the last checkpoint")
        position.step += 1
        position.tokens += settings.batch_tokens
        position.active_seconds += time.perf_counter() - begin
        return loss.item(), norm.item(), lr, length

    def _report(self, loss: float, norm: float, lr: float, length: int, speed: float, progress: float) -> None:
        position = self.position
        self.log.add("step", step=position.step, tokens=position.tokens, loss=round(loss, 4), lr=lr, grad_norm=round(norm, 3),
                     seq_len=length, tokens_per_second=round(speed))
        left = self.settings.budget.seconds_left(position, time.time())
        show_progress(f"{min(1, progress):4.0%}  step {position.step}  {position.tokens / 1e6:.1f} M tokens  loss {loss:.3f}  "
                      f"lr {lr:.1e}  length {length}  {speed / 1000:.1f} k tokens/s  {duration(left)} left")

    def _evaluate(self) -> None:
        result = held_out_loss(self.model, self.corpus.held_out, self.settings.lengths.longest, _EVAL_TOKENS, self.settings.bf16)
        self.log.add("eval", step=self.position.step, tokens=self.position.tokens, loss=round(result.loss, 4),
                     perplexity=round(result.perplexity, 3))
        show_progress(f"      step {self.position.step}  held-out loss {result.loss:.3f}  perplexity {result.perplexity:.2f}")

    def _on_signal(self, *_: object) -> None:
        self._stop = True


def finish(trainer: Trainer, command: str) -> Results:
    """Exports the model, measures what was exported, writes its card. Returns the results."""
    folder = trainer.folder / "model"
    tokenizer, held_out = trainer.corpus.tokenizer, trainer.corpus.held_out
    export(trainer.model, tokenizer, folder, "")
    model = load_exported(folder)
    window = trainer.settings.lengths.longest
    result = held_out_loss(model, held_out, window)
    text_bytes = len(tokenizer.decode(held_out.tolist()).encode())
    results = Results(
        parameters=model.num_parameters(), steps=trainer.position.step, tokens=trainer.position.tokens,
        epochs=trainer.position.step / trainer.batches.batches_in_epoch, active_seconds=trainer.position.active_seconds,
        window=window, held_out_tokens=result.tokens, held_out_loss=result.loss, perplexity=result.perplexity,
        bits_per_byte=result.loss * (len(held_out) / text_bytes) / 0.6931471805599453, loss_by_position=result.by_position,
        prompt=SAMPLE_PROMPT, sample=sample(model, tokenizer, SAMPLE_PROMPT, 160, end_of_text_id(tokenizer), seed=trainer.settings.seed),
    )
    export(trainer.model, tokenizer, folder, model_card(trainer.settings.identity(), trainer.corpus.facts, results, command))
    trainer.log.add("end", **results.to_dict())
    write_plot(trainer.folder / PLOT_NAME, trainer.log.read())
    return results


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reprise_train.base", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                     description="Train a small Llama-architecture model and its tokenizer from scratch on one text file.")
    group = parser.add_argument_group("input and output")
    group.add_argument("--data", type=Path, required=True, help="UTF-8 text, .txt or .xz; books separated by <|endoftext|>, paragraphs by a blank line")
    group.add_argument("--out", type=Path, required=True, help="run directory: checkpoints, log, plot, and model/ at the end")
    group.add_argument("--resume", action="store_true", help="continue the run in --out")
    group.add_argument("--held-out", type=float, default=0.015, help="share of the text, in whole books, that is only tested on")
    group.add_argument("--seed", type=int, default=1)
    group = parser.add_argument_group("model")
    defaults = ModelConfig()
    group.add_argument("--vocab-size", type=int, default=defaults.vocab_size)
    group.add_argument("--hidden", type=int, default=defaults.hidden_size, help="width of the residual stream")
    group.add_argument("--layers", type=int, default=defaults.num_layers)
    group.add_argument("--heads", type=int, default=defaults.num_heads)
    group.add_argument("--kv-heads", type=int, default=defaults.num_kv_heads)
    group.add_argument("--ffn", type=int, default=defaults.ffn_size, help="width inside the feed-forward blocks")
    group.add_argument("--max-positions", type=int, default=None, help="longest context served; the longest trained sequence if not given")
    group = parser.add_argument_group("training")
    group.add_argument("--seq-len", default="256@0,512@0.4,1024@0.8", help="a length, or lengths with the share of the budget at which each starts")
    group.add_argument("--batch-tokens", type=int, default=8192, help="tokens a step")
    group.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    group.add_argument("--min-lr", type=float, default=3e-5, help="learning rate at the end of the cosine")
    group.add_argument("--warmup-steps", type=int, default=100)
    group.add_argument("--weight-decay", type=float, default=0.1)
    group.add_argument("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    group.add_argument("--fp32", action="store_true", help="matrix products in fp32 instead of bf16")
    group.add_argument("--compile", action="store_true", help="compile the step with torch.compile (wants a C++ compiler)")
    group = parser.add_argument_group("budget: exactly one")
    group.add_argument("--steps", type=int)
    group.add_argument("--tokens", type=int)
    group.add_argument("--minutes", type=float, help="wall-clock time from the start, pauses included")
    group.add_argument("--until", help="wall-clock time of the end, ISO 8601, UTC unless it names a zone")
    group = parser.add_argument_group("reports")
    group.add_argument("--log-steps", type=int, default=20)
    group.add_argument("--eval-steps", type=int, default=250)
    group.add_argument("--checkpoint-minutes", type=float, default=3)
    return parser


def settings_from(options: argparse.Namespace) -> Settings:
    """Raises UsageError for flags that do not fit together."""
    lengths = LengthSchedule.parse(options.seq_len)
    budget = Budget(options.steps, options.tokens, options.minutes, None if options.until is None else parse_time(options.until))
    if budget.until and budget.until <= time.time():
        raise UsageError(f"--until {options.until} is in the past")
    model = ModelConfig(options.vocab_size, options.hidden, options.layers, options.heads, options.kv_heads, options.ffn,
                        options.max_positions or lengths.longest)
    return Settings(model, lengths, options.batch_tokens, options.lr, options.min_lr, options.warmup_steps, options.weight_decay, options.held_out,
                    options.seed, budget, options.eval_steps, options.log_steps, options.checkpoint_minutes, not options.fp32, options.compile)


def command_line(arguments: list[str]) -> str:
    """The command as a person would type it elsewhere: paths without their folders, without --resume."""
    shown, previous = ["python", "-m", "reprise_train.base"], ""
    for argument in arguments:
        if argument != "--resume":
            shown.append(Path(argument).name if previous in ("--data", "--out") else argument)
        previous = argument
    return shlex.join(shown)


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with status 130 when a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    settings = settings_from(options)
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    has_checkpoint = (options.out / checkpoint.CHECKPOINT_NAME).exists()
    if options.resume and not has_checkpoint:
        raise TrainError(f"no checkpoint in {options.out} to resume from")
    if not options.resume and has_checkpoint:
        raise TrainError(f"{options.out} already holds a run: add --resume, or choose another --out")
    if options.resume:
        corpus = load_corpus(options.out)
    else:
        corpus = prepare_corpus(options.data, options.out, settings.model.vocab_size, settings.held_out_share, settings.seed)
        (options.out / "log.jsonl").unlink(missing_ok=True)
    trainer = Trainer(settings, corpus, options.out)
    if options.resume:
        trainer.resume()
    trainer.log.add("resume" if options.resume else "start", step=trainer.position.step, **settings.identity(),
                    parameters=trainer.model.num_parameters(), train_tokens=len(corpus.train), held_out_tokens=len(corpus.held_out))
    try:
        trainer.run()
    except Stopped:
        print(f"\nstopped after step {trainer.position.step}; go on with --resume", file=sys.stderr)
        sys.exit(130)
    results = finish(trainer, command_line(arguments))
    show_progress(f"{options.out / 'model'}: {results.tokens / 1e6:.1f} M tokens, held-out loss {results.held_out_loss:.3f}, perplexity {results.perplexity:.2f}\n")


if __name__ == "__main__":
    exit_on_error(main)
