"""Prompts: cleaned passages, variety, repeatability, errors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from reprise_train import prompts
from reprise_train.errors import TrainError

QUESTIONS = [f"What is {i} plus {i}?" for i in range(400)]
TEXTS = [" ".join(f"word{i}{j}" for j in range(50)) for i in range(400)]


def test_passages_lose_the_marks_of_wikitext_and_headings() -> None:
    body = "The ship , built in 1901 , was 1 @,@ 200 feet ( 370 m ) long . " + "word " * 40
    found = prompts.passages(f" = Heading = \n\n {body}\n too short \n")
    assert len(found) == 1
    assert found[0].startswith("The ship, built in 1901, was 1,200 feet (370 m) long. word")


def test_prompts_are_different_of_every_kind_and_repeatable() -> None:
    built = prompts.build(QUESTIONS, TEXTS, 1500, seed=3)
    assert len({prompt["prompt"] for prompt in built}) == len({prompt["id"] for prompt in built}) == 1500
    kinds = Counter(prompt["kind"] for prompt in built)
    assert set(kinds) == set(prompts.makers(QUESTIONS, TEXTS)) and min(kinds.values()) > 30
    assert not any("{" in prompt["prompt"] for prompt in built)
    assert built == prompts.build(QUESTIONS, TEXTS, 1500, seed=3)
    assert built != prompts.build(QUESTIONS, TEXTS, 1500, seed=4)


def test_beginnings_are_beginnings_of_paragraphs() -> None:
    text = "\n\n".join(f"Tale {i} " + "word " * 60 for i in range(20))
    for prompt in prompts.beginnings(text, 10, seed=1):
        assert prompt["prompt"] in text and prompt["prompt"].startswith("Tale")


def test_too_little_material_is_an_error() -> None:
    with pytest.raises(TrainError, match="only"):
        prompts.beginnings("Short.\n\nShorter.", 5, seed=1)


def test_a_line_without_a_question_is_named(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "Why?"}\n{"answer": "So."}\n')
    with pytest.raises(TrainError, match="questions.jsonl:2"):
        prompts.main(["--questions", str(file), "--out", str(tmp_path / "out.jsonl")])
    assert not (tmp_path / "out.jsonl").exists()


def test_the_command_writes_json_lines(tmp_path: Path) -> None:
    prompts.main(["--count", "50", "--out", str(tmp_path / "out.jsonl")])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 50 and set(lines[0]) == {"id", "kind", "prompt"}
