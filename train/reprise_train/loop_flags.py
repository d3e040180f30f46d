"""The flags that every run of `loop.py` has, and what they mean."""

from __future__ import annotations

import argparse
import ctypes
import shlex
import time
from pathlib import Path

import torch

from reprise_train.budget import Budget, parse_time
from reprise_train.errors import TrainError, UsageError
from reprise_train.loop import Loop, LoopSettings, Task, run_or_exit

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h

_PATH_FLAGS = (
    "--data",
    "--base",
    "--hidden",
    "--validation",
    "--out",
    "--target",
    "--start",
    "--frequencies",
)


def add_loop_flags(parser: argparse.ArgumentParser, lr: float, batch_tokens: int) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--batch-tokens", type=int, default=batch_tokens, help="tokens a step, padding included")
    add("--lr", type=float, default=lr, help="peak learning rate")
    add("--min-lr", type=float, default=lr / 50, help="learning rate at the end of the cosine")
    add("--warmup-steps", type=int, default=20, help="steps of linear warm-up")
    add("--weight-decay", type=float, default=0.01, help="of matrices, decoupled")
    add("--optimiser", choices=("muon", "adamw"), default="muon", help="of the layers' matrices")
    add("--seed", type=int, default=1, help="of the weights and of the order of the data")
    add("--device", default="auto", help="cpu, cuda or auto: cuda where there is one")
    add("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    add("--fp32", action="store_true", help="matrix products in fp32 instead of bf16")

    add = parser.add_argument_group("budget, exactly one").add_argument
    add("--steps", type=int, help="optimiser steps")
    add("--tokens", type=int, help="tokens trained on")
    add("--minutes", type=float, help="wall-clock time from the start, pauses included")
    add("--until", metavar="TIME", help="wall-clock end, ISO 8601, UTC unless it names a zone")

    add = parser.add_argument_group("reports").add_argument
    add("--log-steps", type=int, default=10, help="steps between log records")
    add("--eval-steps", type=int, default=100, help="steps between looks at the validation data")
    add("--checkpoint-minutes", type=float, default=3, help="minutes between checkpoints")


def loop_settings(options: argparse.Namespace, identity: dict) -> LoopSettings:
    """Raises UsageError for values that cannot work. `identity` is completed by the flags of this file."""
    for name in ("batch_tokens", "log_steps", "eval_steps"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1")
    if not 0 <= options.min_lr <= options.lr or options.lr <= 0:
        raise UsageError("--lr must be above 0 and --min-lr between 0 and --lr")
    until = None if options.until is None else parse_time(options.until)
    if until is not None and until <= time.time() and not options.resume:
        raise UsageError(f"--until {options.until} is in the past")
    shared = ("batch_tokens", "lr", "min_lr", "warmup_steps", "weight_decay", "optimiser", "seed")
    return LoopSettings(
        budget=Budget(options.steps, options.tokens, options.minutes, until),
        lr=options.lr,
        min_lr=options.min_lr,
        warmup_steps=options.warmup_steps,
        log_steps=options.log_steps,
        eval_steps=options.eval_steps,
        checkpoint_minutes=options.checkpoint_minutes,
        identity=identity | {name: getattr(options, name) for name in shared},
    )


def run_loop(task: Task, options: argparse.Namespace, identity: dict, **facts: object) -> Loop:
    """Trains from the start, or from the last checkpoint with --resume; `facts` go to the log.

    Raises UsageError or TrainError; exits with 130 if a signal stops the run.
    """
    loop = Loop(task, loop_settings(options, identity), options.out)
    if options.resume:
        loop.resume()
    loop.begin(resumed=options.resume, **facts)
    run_or_exit(loop)
    return loop


def pick_device(options: argparse.Namespace) -> torch.device:
    """Raises TrainError when the device asked for is not there."""
    set_threads(options.threads)
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainError(f"--device {name}: {str(error).splitlines()[0]}") from None
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def set_threads(count: int) -> None:
    """Of the CPU; 0 leaves PyTorch's choice."""
    if count > 0:
        torch.set_num_threads(count)


def _keep_freed_memory() -> None:
    """Tells glibc not to give large blocks back to the system.

    A step frees and takes the same hundreds of megabytes; the page faults cost as much as the arithmetic.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
    except (OSError, AttributeError):  # another C library: only slower
        pass


def shown_command(program: str, arguments: list[str]) -> str:
    """The command as a person would type it elsewhere: paths without their folders, without --resume."""
    shown, flag = [], ""
    for argument in arguments:
        if argument.startswith("--"):
            flag = argument
        if argument != "--resume":
            shown.append(Path(argument).name if flag in _PATH_FLAGS and argument != flag else argument)
    return f"{program} {shlex.join(shown)}"
