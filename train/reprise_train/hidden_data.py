"""Hidden states on disk, as `reprise extract` writes them, and batches of them.

A sequence is a prompt and the answer that the base wrote. Only slots whose prediction lies in the answer are
trained on and measured; the prompt's slots are context, as they are when serving.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reprise_train.errors import TrainError

_POOL = 32  # batches whose sequences are sorted by length together, so that little is padding


@dataclass(frozen=True)
class HiddenSequence:
    """Row t of `hidden` is the base's final hidden state after token t; `answer_start` >= 1."""

    hidden: Tensor  # [T, D]
    tokens: Tensor  # [T] int64
    answer_start: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Batch:
    """B sequences, padded at the end. Entry t of the T slots is slot t + 1: (h_t, x_{t+1}) → x_{t+2}."""

    first: Tensor  # [B] x_0
    hidden: Tensor  # [B, T, D] h_t
    tokens: Tensor  # [B, T] x_{t+1}
    target_hidden: Tensor  # [B, T, D] h_{t+1}, whose head gives the distribution to match
    wanted: Tensor  # [B, T] bool: x_{t+2} belongs to the answer

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def load_hidden(folder: Path, max_length: int) -> list[HiddenSequence]:
    """All sequences of `folder`, cut to max_length; those whose answer has no slot to predict are left out.

    Raises TrainError for a missing or damaged folder, or when nothing is left.
    """
    shards = sorted(folder.glob("hidden-*.safetensors"))
    if not shards:
        raise TrainError(f"{folder} holds no hidden states: make them with reprise extract --out {folder}")
    try:
        hidden = [load_file(shard)["hidden"] for shard in shards]
        lines = [json.loads(line) for line in (folder / "sequences.jsonl").read_text().splitlines()]
        sequences = list(_sequences(hidden, lines, max_length))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainError(f"{folder} was not made by reprise extract: {error}") from None
    if not sequences:
        raise TrainError(f"{folder}: no sequence has an answer of at least two tokens")
    if not all(torch.isfinite(rows).all() for rows in hidden):
        raise TrainError(f"{folder} has hidden states that are not finite")
    return sequences


def _sequences(hidden: list[Tensor], lines: list[dict], max_length: int) -> Iterator[HiddenSequence]:
    """Sequences follow each other in the shards, and none lies in two. Raises ValueError when rows lack."""
    shard = row = 0
    for line in lines:
        if row == len(hidden[shard]):
            shard, row = shard + 1, 0
        tokens = line["tokens"]
        if shard == len(hidden) or row + len(tokens) > len(hidden[shard]):
            raise ValueError("there are more tokens than hidden states")
        first, end = max(1, line["answer_start"]), min(len(tokens), max_length)
        if end >= first + 2:
            yield HiddenSequence(hidden[shard][row : row + end], torch.tensor(tokens[:end]), first)
        row += len(tokens)


def count_tokens(answers: Iterable[Iterable[int]], vocab_size: int) -> Tensor:
    """How often each id occurs, [V]."""
    seen = torch.zeros(vocab_size, dtype=torch.long)
    for answer in answers:
        seen += torch.bincount(torch.as_tensor(answer, dtype=torch.long), minlength=vocab_size)
    return seen


def most_frequent(seen: Tensor, count: int) -> Tensor:
    """The `count` ids that occur most, ascending; among equals the smaller id goes first."""
    order = torch.sort(seen, descending=True, stable=True).indices
    return order[:count].sort().values


def collate(sequences: list[HiddenSequence]) -> Batch:
    """Pads to the longest."""
    length = max(len(sequence) for sequence in sequences) - 1
    rows, width = len(sequences), sequences[0].hidden.shape[1]
    first = torch.stack([sequence.tokens[0] for sequence in sequences])
    hidden = torch.zeros(rows, length + 1, width)
    tokens = torch.zeros(rows, length, dtype=torch.long)
    wanted = torch.zeros(rows, length, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        size = len(sequence)
        hidden[row, :size] = sequence.hidden.float()
        tokens[row, : size - 1] = sequence.tokens[1:]
        wanted[row, sequence.answer_start - 1 : size - 2] = True
    return Batch(first, hidden[:, :-1], tokens, hidden[:, 1:], wanted)


class HiddenBatches:
    """Batches of about `batch_tokens` slots, padding included, in an order that depends on the seed alone."""

    def __init__(self, sequences: list[HiddenSequence], batch_tokens: int, seed: int) -> None:
        self._sequences, self._batch_tokens, self._seed = sequences, batch_tokens, seed
        self._epoch, self._plan = -1, self._order(0)
        self.batches_in_epoch = len(self._plan)

    def batch(self, index: int) -> Batch:
        """The index-th of the run. Epochs differ in their order and may differ by a few batches in length."""
        epoch, within = divmod(index, self.batches_in_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._order(epoch)
        return collate([self._sequences[i] for i in self._plan[within % len(self._plan)]])

    def _order(self, epoch: int) -> list[list[int]]:
        generator = np.random.default_rng((self._seed, epoch))
        shuffled = generator.permutation(len(self._sequences))
        mean = sum(len(sequence) for sequence in self._sequences) / len(self._sequences)
        pool = max(1, round(_POOL * self._batch_tokens / mean))
        batches: list[list[int]] = []
        for first in range(0, len(shuffled), pool):
            ordered = sorted(shuffled[first : first + pool], key=lambda i: len(self._sequences[i]))
            batches += self._split(ordered)
        return [batches[i] for i in generator.permutation(len(batches))]

    def _split(self, ordered: list[int]) -> Iterator[list[int]]:
        """Runs of an ascending order whose padded size stays within the batch; at least one each."""
        current: list[int] = []
        for index in ordered:
            if current and (len(current) + 1) * len(self._sequences[index]) > self._batch_tokens:
                yield current
                current = []
            current.append(index)
        yield current
