"""Writes chat prompts to generate training text from: questions, instructions about passages, templates.

    python -m reprise_train.prompts --questions gsm8k.jsonl --passages valid.txt --out prompts.jsonl

A module or draft learns best from text that its own target writes, so what matters is that the prompts
resemble those to be served: short and long ones, mathematics, coding, roleplay, translation, summaries,
questions about a passage. Each line of the output is {"id", "kind", "prompt"}.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

from reprise_train import prompt_words as words
from reprise_train.cli import exit_on_error
from reprise_train.data import read_text
from reprise_train.errors import TrainError, UsageError
from reprise_train.files import write_atomically

_PASSAGE_WORDS = (40, 260)  # shorter ones say too little, longer ones cost more to read than to answer

_BEGINNING_WORDS = (4, 30)

_SUMMARY = (
    "Summarize: {p}",
    "Summarize: {p}",
    "Summarise this in two sentences:\n{p}",
    "{p}\n\nWhat is this text about?",
)
_QUESTION = (
    "{p}\nWhat is the most important point of this text?",
    "{p}\nWho is mentioned in this passage, and why?",
    "{p}\nWhen did this happen?",
    "{p}\nWhere did this take place?",
    "Read the passage and answer with an explanation.\n{p}\nQuestion: what happened first?",
    "Extract all names and dates from the following text. Output in JSON format.\n{p}",
    "{p}\nHow does the author describe this?",
)
_REWRITE = (
    "Rewrite the following text for a ten-year-old:\n{p}",
    "Continue this text:\n{p}",
    "Translate to French: {p}",
    "Correct spelling and grammar and explain your changes:\n{p}",
    "Turn this into a list of key points:\n{p}",
)
_WRITING = (
    "Write a short story about {person} {place}.",
    "Write a poem about {topic}.",
    "Write a blog post about {topic}, with a catchy title and three sections.",
    "Write a polite e-mail to a colleague about {topic}.",
    "Describe {person} {place}, using vivid imagery.",
    "Draft an outline of an essay on {topic}. Please answer in fewer than 200 words.",
    "Compose a dialogue between {person} and {person2} {place}.",
    "Write the opening paragraph of a novel about {person} {place}.",
)
_EXPLAIN = (
    "Explain {topic} in simple terms.",
    "What are the causes and effects of {topic}?",
    "Give me five facts about {topic}.",
    "Compare {topic} with {topic2}.",
    "How has {topic} changed over the last hundred years?",
    "What are the advantages and disadvantages of {topic}?",
    "Share ideas for teaching {topic} to children. List 5 activities.",
    "Why does {topic} matter? Discuss two opposing views.",
)
_ROLEPLAY = (
    "Pretend to be {role} in all the following conversations. What do you think about {topic}?",
    "Imagine you are {role}. Explain {topic} to a beginner.",
    "Please assume the role of {role}. I would like your advice on {topic}.",
    "You are {role}. Introduce yourself and tell me about your day.",
)
_CODING = (
    "Write a {language} function that {program}.",
    "Write a {language} program that {program}. Explain how it works.",
    "Develop a {language} class that {program}, with tests.",
    "What is wrong with a {language} program that {program} but never ends? How would you debug it?",
)


def passages(text: str) -> list[str]:
    """Paragraphs of usable length, with the tokenisation marks of wikitext undone."""
    text = re.sub(r" ?@(.)@ ?", r"\1", text).replace("<unk>", "it")
    text = re.sub(r" ([,.;:!?)\]%])", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text).replace(" 's", "'s").replace(" n't", "n't")
    found = (" ".join(paragraph.split()) for paragraph in text.split("\n"))
    low, high = _PASSAGE_WORDS
    return [
        paragraph for paragraph in found if low <= paragraph.count(" ") + 1 <= high and paragraph[0] != "="
    ]


def german_sentence(draw: random.Random) -> str:
    verb, participle = draw.choice(words.GERMAN_VERBS)
    return (
        f"{draw.choice(words.GERMAN_SUBJECTS)} {verb} {draw.choice(words.GERMAN_TIMES)} "
        f"{draw.choice(words.GERMAN_OBJECTS)} {participle}{draw.choice(words.GERMAN_ENDINGS)} ."
    )


def _fill(template: str, draw: random.Random) -> str:
    def pick(options: tuple[str, ...]) -> str:
        return draw.choice(options).strip()

    return template.format(
        topic=pick(words.TOPICS),
        topic2=pick(words.TOPICS),
        person=pick(words.PEOPLE),
        person2=pick(words.PEOPLE),
        place=pick(words.PLACES),
        role=pick(words.ROLES),
        program=pick(words.PROGRAMS),
        language=pick(words.LANGUAGES),
        work=pick(words.WORKS),
        country=pick(words.COUNTRIES),
        word=pick(words.WORDS),
        thing=pick(words.THINGS),
        thing2=pick(words.THINGS),
    )


def makers(questions: list[str], texts: list[str]) -> dict[str, tuple[float, Callable[[random.Random], str]]]:
    """Kind → (weight, maker). Kinds whose material is missing are left out."""

    def about(templates: tuple[str, ...]) -> Callable[[random.Random], str]:
        return lambda draw: draw.choice(templates).replace("{p}", draw.choice(texts))

    def from_words(templates: tuple[str, ...]) -> Callable[[random.Random], str]:
        return lambda draw: _fill(draw.choice(templates), draw)

    kinds: dict[str, tuple[float, Callable[[random.Random], str]]] = {
        "writing": (0.09, from_words(_WRITING)),
        "explanation": (0.11, from_words(_EXPLAIN)),
        "roleplay": (0.06, from_words(_ROLEPLAY)),
        "coding": (0.06, from_words(_CODING)),
        "fact": (0.12, from_words(words.FACT_QUESTIONS)),
        "translation": (0.14, lambda draw: f"Translate German to English: {german_sentence(draw)}"),
    }
    if questions:
        kinds["mathematics"] = (0.16, lambda draw: draw.choice(questions))
    if texts:
        kinds["summary"] = (0.11, about(_SUMMARY))
        kinds["passage"] = (0.11, about(_QUESTION))
        kinds["rewriting"] = (0.04, about(_REWRITE))
    return kinds


def build(questions: list[str], texts: list[str], count: int, seed: int) -> list[dict]:
    """`count` different prompts. Raises TrainError when the material does not yield that many."""
    draw = random.Random(seed)
    kinds = makers(questions, texts)
    names, weights = list(kinds), [weight for weight, _ in kinds.values()]
    seen: set[str] = set()
    prompts = []
    for _ in range(20 * count):
        kind = draw.choices(names, weights)[0]
        prompt = kinds[kind][1](draw)
        if prompt not in seen:
            seen.add(prompt)
            prompts.append({"id": f"{kind}-{len(prompts)}", "kind": kind, "prompt": prompt})
            if len(prompts) == count:
                return prompts
    raise TrainError(f"the material yields only {len(prompts)} different prompts, not {count}")


def beginnings(text: str, count: int, seed: int) -> list[dict]:
    """`count` beginnings of paragraphs, for models that only continue text. Raises TrainError if too few."""
    low, high = _BEGINNING_WORDS
    found = [words for p in text.split("\n\n") if len(words := p.split()) > high and p.strip()[0].isupper()]
    if len(found) < count:
        raise TrainError(f"the text has only {len(found)} paragraphs of more than {high} words, not {count}")
    draw = random.Random(seed)
    chosen = draw.sample(found, count)
    prompts = (" ".join(words[: draw.randint(low, high)]) for words in chosen)
    return [
        {"id": f"beginning-{i}", "kind": "beginning", "prompt": prompt} for i, prompt in enumerate(prompts)
    ]


def read_questions(path: Path) -> list[str]:
    """The `question` field of each JSON line. Raises TrainError naming the line that has none."""
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            questions.append(str(json.loads(line)["question"]))
        except (ValueError, KeyError, TypeError):
            raise TrainError(f"{path}:{number}: not a JSON object with a 'question'") from None
    return questions


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m reprise_train.prompts",
        description="Write chat prompts to generate training text from.",
    )
    parser.add_argument(
        "--questions", type=Path, metavar="FILE.jsonl", help="lines with a 'question' (GSM8K)"
    )
    parser.add_argument("--passages", type=Path, metavar="FILE", help="text, a paragraph a line (wikitext)")
    parser.add_argument(
        "--beginnings",
        type=Path,
        metavar="FILE",
        help="only beginnings of this text's paragraphs (.txt or .xz)",
    )
    parser.add_argument("--count", type=int, default=5000, help="prompts to write (default: 5000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")
    options = parser.parse_args(arguments)
    if options.count < 1:
        raise UsageError(f"--count must be at least 1, not {options.count}")
    if options.beginnings:
        prompts = beginnings(read_text(options.beginnings), options.count, options.seed)
    else:
        questions = read_questions(options.questions) if options.questions else []
        texts = passages(options.passages.read_text(encoding="utf-8")) if options.passages else []
        prompts = build(questions, texts, options.count, options.seed)
    lines = "".join(json.dumps(prompt, ensure_ascii=False) + "\n" for prompt in prompts)
    write_atomically(options.out, lines.encode())
    print(f"{options.out}: {len(prompts)} prompts", file=sys.stderr)


if __name__ == "__main__":
    exit_on_error(main)
