"""Splitting and batching: nothing held out is trained on, every batch is a function of its index."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_book

from reprise_train.data import (
    Batches,
    build_corpus,
    choose_held_out,
    encode_stream,
    group_editions,
    load_corpus,
    read_text,
    save_corpus,
    split_books,
    split_documents,
)
from reprise_train.errors import TrainError, UsageError
from reprise_train.tokenizer import END_OF_TEXT, train_tokenizer


def test_held_out_books_are_never_trained_on(text_file: Path) -> None:
    corpus = build_corpus(text_file, 320, 0.1, seed=3)
    train, held_out = (corpus.tokenizer.decode(stream.tolist()) for stream in (corpus.train, corpus.held_out))
    books = split_books(read_text(text_file))
    sides = [(book.paragraphs[5] in train, book.paragraphs[5] in held_out) for book in books]
    assert all(in_train != in_held_out for in_train, in_held_out in sides)
    assert 1 <= sum(in_held_out for _, in_held_out in sides) < len(books)
    for book, (in_train, _) in zip(books, sides, strict=True):
        assert all(
            (paragraph in train) == in_train for paragraph in book.paragraphs[1:] if len(paragraph) > 80
        )


def test_editions_stay_on_one_side() -> None:
    original, other, third = (make_book(seed) for seed in (1, 2, 3))
    anthology = make_book(4) + "\n\n" + "\n\n".join(original.split("\n\n")[3:9])
    books = split_books(END_OF_TEXT.join((original, other, anthology, third)))
    assert group_editions(books) == [[0, 2], [1], [3]]
    for seed in range(20):
        held_out = choose_held_out(books, 0.2, seed)
        assert (0 in held_out) == (2 in held_out)


def test_one_book_cannot_be_split(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text(make_book(1))
    with pytest.raises(TrainError, match="at least 2"):
        build_corpus(path, 320, 0.1, seed=1)


def test_books_lose_layout_and_licence_but_no_words() -> None:
    tale = "  A TALE\n\n-----\n\n   Once   upon\n     a time\n\n\n\n*** START: FULL LICENSE ***\n\nYou may"
    text = f"{tale}{END_OF_TEXT}\n\nSecond"
    assert [book.paragraphs for book in split_books(text)] == [("A TALE", "Once upon\na time"), ("Second",)]


def test_documents_begin_at_headings() -> None:
    (book,) = split_books(make_book(7, paragraphs=60))
    documents = split_documents(book)
    assert [document.split("\n\n")[0] for document in documents] == ["THE BOOK NUMBER 7", "CHAPTER II"]
    assert "\n\n".join(documents) == "\n\n".join(book.paragraphs)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "no such file"),
        ("empty.txt", b" \n\n ", "holds no text"),
        ("latin.txt", "caf\xe9".encode("latin-1"), "not UTF-8 text: byte 3"),
        ("cut.txt.xz", lzma.compress(b"a tale" * 100)[:40], "not a whole xz file"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainError, match=message):
        read_text(tmp_path / name)


def test_xz_reads_like_plain_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt.xz").write_bytes(lzma.compress("Es war einmal – ein Kater".encode()))
    assert read_text(tmp_path / "t.txt.xz") == "Es war einmal – ein Kater"


def test_corpus_survives_the_disk(text_file: Path, tmp_path: Path) -> None:
    written = build_corpus(text_file, 320, 0.1, seed=3)
    save_corpus(written, tmp_path / "run")
    read = load_corpus(tmp_path / "run")
    assert np.array_equal(read.train, written.train) and np.array_equal(read.held_out, written.held_out)
    assert read.tokenizer.to_str() == written.tokenizer.to_str() and read.facts == written.facts


def test_tokenizer_is_exact_and_lossless(books: list[str]) -> None:
    tokenizer = train_tokenizer(books, 320)
    assert tokenizer.get_vocab_size() == 320 and tokenizer.token_to_id(END_OF_TEXT) == 0
    for text in ("The king walked.\n\n  “Ünïcode” 🦊\t", END_OF_TEXT + "x"):
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    with pytest.raises(TrainError, match="yields only"):
        train_tokenizer(["abc"], 320)
    with pytest.raises(UsageError, match="at least 257"):
        train_tokenizer(books, 100)


def test_stream_marks_every_document(books: list[str]) -> None:
    tokenizer = train_tokenizer(books, 320)
    stream = encode_stream(tokenizer, ["one fox", "two birds"])
    assert stream[0] == stream[-1] == 0 and (stream == 0).sum() == 3


def test_batches_depend_on_the_index_only_and_visit_each_token_once() -> None:
    stream = np.arange(1000, dtype=np.uint16)
    first, second = (Batches(stream, batch_tokens=64, chunk=32, seed=5) for _ in range(2))
    epoch = [first.batch(index, 16) for index in range(first.batches_in_epoch)]
    for index in (7, 3, first.batches_in_epoch, 0):
        assert torch.equal(first.batch(index, 16)[0], second.batch(index, 16)[0])
    inputs = torch.cat([batch[0].flatten() for batch in epoch])
    assert len(inputs.unique()) == len(inputs) > 0.9 * 900
    assert all(torch.equal(x + 1, y) and x.shape == (4, 16) for x, y in epoch)
    assert not torch.equal(first.batch(0, 16)[0], first.batch(first.batches_in_epoch, 16)[0])
    shifts = [int(first.batch(e * first.batches_in_epoch, 32)[0][0, 0]) % 32 for e in range(8)]
    assert len(set(shifts)) > 1  # each epoch cuts the text elsewhere
    with pytest.raises(TrainError, match="less than a batch"):
        Batches(stream, batch_tokens=2048, chunk=32, seed=5)
