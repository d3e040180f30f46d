"""The flags that name training data, and the data behind them."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.errors import TrainError
from reprise_train.hidden_data import HiddenSequence, count_tokens, load_hidden, most_frequent


def add_data_flags(add: Callable[..., object], result: str) -> None:
    """`result` is what the run directory holds at the end."""
    add(
        "--hidden",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="from reprise extract, to train on",
    )
    add("--validation", type=Path, required=True, metavar="DIR", help="from reprise extract, held out")
    add("--out", type=Path, required=True, metavar="DIR", help=f"checkpoints, log, plot; at the end {result}")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--max-length", type=int, default=640, help="longest sequence; what is longer is cut")
    add("--draft-vocab", type=int, default=8192, help="most frequent ids that can be drafted; 0: all")
    add("--frequencies", type=Path, metavar="FILE.jsonl", help="count ids in these answers, not in --hidden")


def read_sequences(
    options: argparse.Namespace, base: Base
) -> tuple[list[HiddenSequence], list[HiddenSequence]]:
    """Training and validation sequences. Raises TrainError when they are not of this base."""
    train = [sequence for folder in options.hidden for sequence in load_hidden(folder, options.max_length)]
    validation = load_hidden(options.validation, options.max_length)
    for sequences, folder in ((train, options.hidden[0]), (validation, options.validation)):
        width, vocab_size = sequences[0].hidden.shape[1], base.config.vocab_size
        if width != base.config.hidden_size:
            raise TrainError(
                f"{folder} has hidden states of {width} values, {base.name} {base.config.hidden_size}"
            )
        highest = max(int(sequence.tokens.max()) for sequence in sequences)
        if highest >= vocab_size or min(int(sequence.tokens.min()) for sequence in sequences) < 0:
            raise TrainError(f"{folder} has token ids outside {base.name}'s vocabulary of {vocab_size}")
    return train, validation


def draft_vocabulary(options: argparse.Namespace, base: Base, train: list[HiddenSequence]) -> Tensor:
    """The ids that can be drafted, ascending. Raises TrainError for a file without answers."""
    vocab_size = base.config.vocab_size
    if options.frequencies is None:
        seen = count_tokens((sequence.tokens[sequence.answer_start :] for sequence in train), vocab_size)
    else:
        try:
            lines = options.frequencies.read_text(encoding="utf-8").splitlines()
            seen = count_tokens((json.loads(line)["answer"] for line in lines), vocab_size)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise TrainError(
                f"{options.frequencies} was not made by reprise_train.generate: {error}"
            ) from None
    return most_frequent(seen, min(options.draft_vocab or vocab_size, vocab_size))


def answer_tokens(sequences: list[HiddenSequence]) -> int:
    """How many of their tokens are answers."""
    return sum(len(sequence) - sequence.answer_start for sequence in sequences)


def digest(draft_ids: Tensor) -> str:
    """What a resumed run compares."""
    return hashlib.sha256(draft_ids.numpy().tobytes()).hexdigest()
