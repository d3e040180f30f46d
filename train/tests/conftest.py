"""A tiny text and tiny settings: every test here runs in seconds on one core."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from reprise_train.tokenizer import END_OF_TEXT

WORDS = (
    "the a king queen fox wolf bird forest river golden little old wise poor walked sang found lost said "
    "went home again once upon time there was who and but then never night morning"
).split()


def make_book(seed: int, paragraphs: int = 40) -> str:
    """A book of seeded nonsense with two headings; no two seeds share a paragraph."""
    choose = random.Random(seed)
    lines = [f"THE BOOK NUMBER {seed}"]
    for index in range(paragraphs):
        if index == paragraphs // 2:
            lines.append("CHAPTER II")
        lines.append(" ".join(choose.choices(WORDS, k=25)).capitalize() + f", {seed}.")
    return "\n\n".join(lines)


@pytest.fixture
def books() -> list[str]:
    return [make_book(seed) for seed in range(12)]


@pytest.fixture
def text_file(tmp_path: Path, books: list[str]) -> Path:
    path = tmp_path / "tales.txt"
    path.write_text(f"\n\n{END_OF_TEXT}\n\n".join(books))
    return path


@pytest.fixture
def tiny(text_file: Path) -> list[str]:
    """Flags of a run that takes about a second; add --out and a budget."""
    flags = (
        "--vocab-size 320 --hidden 32 --layers 2 --heads 4 --kv-heads 2 --ffn 48 --seq-len 16@0,32@0.5"
        " --batch-tokens 128 --warmup-steps 4 --lr 3e-3 --held-out 0.1 --threads 1"
        " --log-steps 2 --eval-steps 10 --fp32"
    )
    return ["--data", str(text_file), *flags.split()]
