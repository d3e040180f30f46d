"""From a text file to token streams: books, documents, the held-out split, batches.

A file is UTF-8 text, plain or xz-compressed. Books are separated by END_OF_TEXT, paragraphs by a blank line.
A book is cut into *documents* (tales, chapters) at its headings, so that the model sees beginnings and ends
often enough to learn them. A token stream is END_OF_TEXT, document, END_OF_TEXT, …, END_OF_TEXT as uint16.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from reprise_train.errors import TrainError
from reprise_train.files import write_atomically
from reprise_train.tokenizer import END_OF_TEXT, end_of_text_id, train_tokenizer

_LICENCE_START = "*** START: FULL LICENSE ***"
_TELLING_PARAGRAPH = 80  # characters: from here on a paragraph found in two books means a shared text
_SHARED_SHARE = 0.01  # of the smaller book's characters: from here on two books are editions of one
_MIN_DOCUMENT = 2000  # characters of a document before a heading may begin the next one
_MAX_HEADING = 80  # characters


@dataclass(frozen=True)
class Book:
    """One book as its paragraphs, without the licence text at the end."""

    paragraphs: tuple[str, ...]

    @property
    def title(self) -> str:
        """The first heading of some length, or else the first paragraph; at most 60 characters."""
        headings = (p for p in self.paragraphs[:40] if is_heading(p) and len(p) >= 8)
        return " ".join(next(headings, self.paragraphs[0]).split())[:60]

    @property
    def size(self) -> int:
        """Characters, without the blank lines."""
        return sum(map(len, self.paragraphs))


def read_text(path: Path) -> str:
    """The text of a `.txt` or `.xz` file. Raises TrainError if it is missing, damaged, not UTF-8 or empty."""
    try:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise TrainError(f"no such file: {path}") from None
    except OSError as error:
        raise TrainError(f"cannot read {path}: {error.strerror}") from None
    except (lzma.LZMAError, EOFError):
        raise TrainError(f"{path} is not a whole xz file") from None
    except UnicodeDecodeError as error:
        raise TrainError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None
    if not text.strip():
        raise TrainError(f"{path} holds no text")
    return text


def split_books(text: str) -> list[Book]:
    """Books in file order, without indentation, runs of spaces and rules (no letter or digit)."""
    books = []
    for raw in text.replace("\r\n", "\n").split(END_OF_TEXT):
        raw = raw.split(_LICENCE_START)[0]
        paragraphs = tuple(filter(None, map(_clean, re.split(r"\n\s*\n", raw))))
        if paragraphs:
            books.append(Book(paragraphs))
    return books


def _clean(paragraph: str) -> str:
    lines = [" ".join(line.split()) for line in paragraph.split("\n")]
    cleaned = "\n".join(filter(None, lines))
    return cleaned if re.search(r"\w", cleaned) else ""


def is_heading(paragraph: str) -> bool:
    """Whether a paragraph reads like the title of a tale or chapter: short, in capitals, a letter or more."""
    return len(paragraph) <= _MAX_HEADING and paragraph.isupper()


def split_documents(book: Book) -> list[str]:
    """Cuts a book before headings, where the document so far is long enough; blank lines join paragraphs."""
    documents: list[str] = []
    current: list[str] = []
    size, in_heading = 0, False
    for paragraph in book.paragraphs:
        heading = is_heading(paragraph)
        if heading and not in_heading and size >= _MIN_DOCUMENT:
            documents.append("\n\n".join(current))
            current, size = [], 0
        current.append(paragraph)
        size += len(paragraph)
        in_heading = heading
    documents.append("\n\n".join(current))
    return documents


def group_editions(books: list[Book]) -> list[list[int]]:
    """Indices of books in groups that share text: editions and anthologies of the same tales stay together.

    Two books are of one group when the long paragraphs found word for word in both make up _SHARED_SHARE of
    the smaller one. Groups are ordered by their first book.
    """
    owners: dict[str, set[int]] = defaultdict(set)
    for index, book in enumerate(books):
        for paragraph in book.paragraphs:
            if len(paragraph) >= _TELLING_PARAGRAPH:
                owners[paragraph].add(index)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for paragraph, indices in owners.items():
        ordered = sorted(indices)
        for position, first in enumerate(ordered):
            for second in ordered[position + 1 :]:
                shared[first, second] += len(paragraph)

    root = list(range(len(books)))

    def find(index: int) -> int:
        while root[index] != index:
            index = root[index]
        return index

    for (first, second), characters in sorted(shared.items()):
        if characters >= _SHARED_SHARE * min(books[first].size, books[second].size):
            low, high = sorted((find(first), find(second)))
            root[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(books)):
        groups[find(index)].append(index)
    return list(groups.values())


def choose_held_out(books: list[Book], share: float, seed: int) -> set[int]:
    """Indices of whole books, and of every edition of them, that make up at least `share` of the characters.

    Raises TrainError when that would leave nothing to train on.
    """
    total = sum(book.size for book in books)
    groups = group_editions(books)
    held_out: set[int] = set()
    size = 0
    for position in np.random.default_rng(seed).permutation(len(groups)):
        group = groups[position]
        group_size = sum(books[index].size for index in group)
        if group_size > max(2 * share, 0.5 / len(groups)) * total and len(groups) > 2:
            continue  # one huge group would take much more than asked for
        held_out.update(group)
        size += group_size
        if size >= share * total:
            break
    if not held_out or len(held_out) == len(books):
        raise TrainError(
            f"the text has {len(groups)} independent book(s) between {END_OF_TEXT} marks: "
            "at least 2 are needed, to hold one out"
        )
    return held_out


def encode_stream(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    """One uint16 stream of the documents, each preceded by END_OF_TEXT, with one more at the end."""
    end = end_of_text_id(tokenizer)
    pieces = [np.array([end], dtype=np.uint16)]
    for start in range(0, len(documents), 256):
        for encoding in tokenizer.encode_batch_fast(documents[start : start + 256], add_special_tokens=False):
            pieces.append(np.array([*encoding.ids, end], dtype=np.uint16))
    return np.concatenate(pieces)


@dataclass(frozen=True)
class Corpus:
    """What a run trains and tests on; on disk beside its checkpoints so that a resumed run sees the same."""

    tokenizer: Tokenizer
    train: np.ndarray  # uint16 [N]
    held_out: np.ndarray  # uint16 [M]
    facts: dict  # file name, SHA-256, books, held-out titles and bytes: see build_corpus


def build_corpus(path: Path, vocab_size: int, held_out_share: float, seed: int) -> Corpus:
    """Reads and splits a text, learns the tokenizer on the training books, encodes. Writes nothing."""
    text = read_text(path)
    books = split_books(text)
    if len(books) < 2:
        raise TrainError(
            f"{path} holds {len(books)} book(s) between {END_OF_TEXT} marks: "
            "at least 2 are needed, to hold one out"
        )
    held_out = choose_held_out(books, held_out_share, seed)
    train_documents = [d for i, book in enumerate(books) if i not in held_out for d in split_documents(book)]
    held_out_documents = [d for i in sorted(held_out) for d in split_documents(books[i])]
    tokenizer = train_tokenizer(train_documents, vocab_size)
    facts = {
        "file": path.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "books": len(books),
        "train_documents": len(train_documents),
        "train_bytes": sum(len(d.encode()) for d in train_documents),
        "held_out_documents": len(held_out_documents),
        "held_out_bytes": sum(len(d.encode()) for d in held_out_documents),
        "held_out_titles": [books[i].title for i in sorted(held_out)],
    }
    train, held_out_stream = (encode_stream(tokenizer, d) for d in (train_documents, held_out_documents))
    return Corpus(tokenizer, train, held_out_stream, facts)


def save_corpus(corpus: Corpus, folder: Path) -> None:
    """Writes a corpus to `folder`, which is made if need be. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "tokenizer.json", corpus.tokenizer.to_str(pretty=True).encode())
    write_atomically(folder / "train.u16", corpus.train.tobytes())
    write_atomically(folder / "heldout.u16", corpus.held_out.tobytes())
    write_atomically(folder / "corpus.json", json.dumps(corpus.facts, indent=2, ensure_ascii=False).encode())


def load_corpus(folder: Path) -> Corpus:
    """What save_corpus wrote. Raises TrainError when a part is missing or unreadable."""
    try:
        facts = json.loads((folder / "corpus.json").read_text())
        tokenizer = Tokenizer.from_file(os.fspath(folder / "tokenizer.json"))
        train = np.fromfile(folder / "train.u16", dtype=np.uint16)
        held_out = np.fromfile(folder / "heldout.u16", dtype=np.uint16)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise TrainError(f"cannot read the prepared text in {folder}: {error}") from None
    return Corpus(tokenizer, train, held_out, facts)


class Batches:
    """Training batches as a pure function of (seed, batch index): the index is all a resumed run needs.

    An epoch shifts the stream by a random offset, cuts it into chunks of `chunk` tokens and shuffles them;
    a batch is `batch_tokens / chunk` chunks, cut into rows of whatever length the step asks for.
    """

    def __init__(self, stream: np.ndarray, batch_tokens: int, chunk: int, seed: int) -> None:
        """Raises TrainError when the stream is shorter than one batch."""
        if batch_tokens % chunk:
            raise ValueError("batch_tokens must be a multiple of chunk")
        self._stream, self._chunk, self._seed = stream, chunk, seed
        self._chunks_in_batch = batch_tokens // chunk
        self._chunks = (len(stream) - chunk) // chunk  # leaves room for the shift and for the last target
        self.batches_in_epoch = self._chunks // self._chunks_in_batch
        if self.batches_in_epoch < 1:
            raise TrainError(
                f"the training text is {len(stream)} tokens long, less than a batch of {batch_tokens}: "
                "give more text or a smaller batch"
            )
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def batch(self, index: int, length: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [batch_tokens / length, length] each; length must divide the chunk."""
        epoch, position = divmod(index, self.batches_in_epoch)
        if epoch != self._epoch:
            random = np.random.default_rng((self._seed, epoch))
            self._order = random.permutation(self._chunks) * self._chunk + random.integers(self._chunk)
            self._epoch = epoch
        starts = self._order[position * self._chunks_in_batch : (position + 1) * self._chunks_in_batch]
        rows = np.stack([self._stream[start : start + self._chunk + 1] for start in starts]).astype(np.int64)
        inputs = torch.from_numpy(rows[:, :-1].reshape(-1, length).copy())
        targets = torch.from_numpy(rows[:, 1:].reshape(-1, length).copy())
        return inputs, targets
