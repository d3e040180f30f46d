#!/usr/bin/env python3
"""DistillSpec against cross-entropy: drafts of the embedded model, from the target's own text to block efficiency.

    python benches/papers/distillspec.py --tales fairytales.txt.xz --wikitext test.txt --questions gsm8k.jsonl
        --work DIR [--out docs/results/distillspec.json]

Needs the packages of train/. Both kinds of draft start as the target's first layer and see as many tokens of answers.
Cross-entropy learns the tokens that the target sampled at temperature 1; DistillSpec learns its distributions, on the
same text and on text of its own. Settings are chosen on prompts from books that both have seen prompts of; the figures
are of categories held out by name: whole books, WikiText, questions. Every step that is done is skipped, so a stopped
run goes on when the command is repeated.
"""

import argparse
import json
import pathlib
import random

from workshop import EMBEDDED, ROOT, Workshop, publish, train_command

import machine
from reprise_train import data, prompts
from reprise_train.files import write_json

DRAFT_TOKENS = 4
TEMPERATURES = (0, 1)
TRAIN_PROMPTS, SELECTION_PROMPTS, CATEGORY_PROMPTS = 6000, 60, 40
TRAIN_TOKENS = 440_000  # of all answers to them
ANSWER_TOKENS = 128
RESAMPLES = 2000

COMMON = ("--layers 1 --draft-vocab 2048 --batch-tokens 2048 --threads 1 --eval-steps 1000000 "
          "--checkpoint-minutes 60").split()
CROSS_ENTROPY = "--on-policy 0 --sft-steps 1000000"


def candidates():
    """Name → flags of reprise_train.distil: what is tried before the run of three seeds."""
    tried = {f"ce-lr{lr}": f"{CROSS_ENTROPY} --lr {lr}" for lr in ("1e-3", "2e-3", "4e-3", "8e-3")}
    for divergence in ("fkl", "jsd", "tvd", "rkl"):
        tried[f"{divergence}-target-text"] = f"--divergence {divergence} --on-policy 0 --lr 4e-3"
    tried["fkl-target-text-lr8e-3"] = "--divergence fkl --on-policy 0 --lr 8e-3"
    tried["fkl-sharp"] = "--divergence fkl --temperature 0.5 --on-policy 0 --lr 4e-3"
    for divergence in ("fkl", "jsd"):
        tried[f"{divergence}-on-policy"] = f"--divergence {divergence} --on-policy 0.5 --lr 4e-3"
    return tried


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tales", required=True, type=pathlib.Path, help="the text that the embedded model learnt")
    parser.add_argument("--wikitext", required=True, type=pathlib.Path)
    parser.add_argument("--questions", required=True, type=pathlib.Path, help="JSON lines with a 'question'")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder of all that is made on the way")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path)
    parser.add_argument("--trial-tokens", default=440_000, type=int, help="of each setting that is tried")
    parser.add_argument("--tokens", default=1_300_000, type=int, help="of each draft that counts")
    parser.add_argument("--seeds", default=3, type=int)
    parser.add_argument("--out", type=pathlib.Path, help="write the figures to this JSON file")
    return parser.parse_args()


def write_prompts(options, shop):
    """prompts-NAME.jsonl of the training set, the selection set and each held-out category; the categories' names."""
    names = shop.folder / "categories.json"
    if names.exists():
        return json.loads(names.read_text())
    books = data.split_books(data.read_text(options.tales))
    held_out = data.choose_held_out(books, 0.015, seed=1)  # the books that the embedded model has not seen
    seen = "\n\n".join(p for index, book in enumerate(books) if index not in held_out for p in book.paragraphs)
    sets = {"train": prompts.beginnings(seen, TRAIN_PROMPTS + SELECTION_PROMPTS, seed=1)}
    sets["selection"] = [sets["train"].pop() for _ in range(SELECTION_PROMPTS)]
    categories = {books[index].title.strip("* ").lower().replace(" ", "-"): "\n\n".join(books[index].paragraphs)
                  for index in sorted(held_out)}
    categories["wikitext-2"] = options.wikitext.read_text(encoding="utf-8").replace("\n", "\n\n")
    for name, text in categories.items():
        sets[name] = prompts.beginnings(text, CATEGORY_PROMPTS, seed=2)
    questions = prompts.read_questions(options.questions)
    chosen = random.Random(2).sample(questions, CATEGORY_PROMPTS)
    sets["gsm8k"] = [{"id": f"question-{i}", "prompt": question} for i, question in enumerate(chosen)]
    for name, lines in sets.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        shop.prompts(name).write_text(text, encoding="utf-8")
    write_json(names, [*categories, "gsm8k"])
    return [*categories, "gsm8k"]


def distil(shop, name, flags, tokens, seed):
    """The draft's directory, trained unless it is there."""
    return shop.trained("distil", f"{name}-{tokens}-seed{seed}", "draft", "--target", EMBEDDED, "--hidden",
                        shop.states("train", 1), "--validation", shop.states("selection", 0), *COMMON, *flags.split(),
                        "--tokens", tokens, "--seed", seed)


def efficiencies(shop, drafts, categories, temperature):
    """{draft: {category: [[tokens, passes] of each answer]}}."""
    out = shop.folder / f"efficiency-{temperature}.json"
    held_out = [f"{name}={shop.states(name, temperature)}" for name in categories]
    train_command("block_efficiency", "--target", EMBEDDED, "--drafts", *drafts, "--held-out", *held_out,
                  "--temperature", temperature, "--draft-tokens", DRAFT_TOKENS, "--threads", 1, "--out", out)
    return json.loads(out.read_text())["drafts"]


def pooled(answers):
    """Tokens a pass over [tokens, passes] pairs."""
    return sum(tokens for tokens, _ in answers) / sum(passes for _, passes in answers)


def choose(shop, temperature, trials):
    """The best cross-entropy and the best distilled setting at this temperature, by the selection set."""
    measured = efficiencies(shop, list(trials.values()), ["selection"], temperature)
    tau = {name: pooled(measured[str(folder)]["selection"]) for name, folder in trials.items()}
    baseline = max((name for name in tau if name.startswith("ce-")), key=tau.get)
    distilled = max((name for name in tau if not name.startswith("ce-")), key=tau.get)
    return baseline, distilled, {name: round(value, 4) for name, value in tau.items()}


def gain(distilled, baseline):
    """Mean over seeds of tau's ratio less 1, and its 95 % interval: answers resampled, the same for all drafts.

    Arguments: for each seed, the [tokens, passes] of the same answers.
    """
    def ratio(indices):
        picked = [[[answers[i] for i in indices] for answers in pair] for pair in zip(distilled, baseline)]
        return sum(pooled(a) / pooled(b) for a, b in picked) / len(picked) - 1

    draw, count = random.Random(0), len(distilled[0])
    resampled = sorted(ratio(draw.choices(range(count), k=count)) for _ in range(RESAMPLES))
    low, high = resampled[int(0.025 * RESAMPLES)], resampled[int(0.975 * RESAMPLES)]
    by_seed = [pooled(a) / pooled(b) - 1 for a, b in zip(distilled, baseline)]
    return {"gain": ratio(range(count)), "low": low, "high": high, "by_seed": by_seed}


def compare(measured, distilled, baseline, categories):
    """Figures by category, and of all together."""
    rows = {}
    for name in (*categories, "all"):
        parts = categories if name == "all" else [name]
        answers = [[[pair for part in parts for pair in measured[str(folder)][part]] for folder in folders]
                   for folders in (distilled, baseline)]
        rows[name] = {"distilled": [pooled(seed) for seed in answers[0]],
                      "cross_entropy": [pooled(seed) for seed in answers[1]], **gain(*answers)}
    return rows


def main():
    options = parse_arguments()
    shop = Workshop(options.work, options.build, EMBEDDED)
    categories = write_prompts(options, shop)
    held_out = [(name, temperature) for name in ("selection", *categories) for temperature in TEMPERATURES]
    shop.write_states([("train", 1), *held_out], ANSWER_TOKENS, {"train": TRAIN_TOKENS})
    settings = candidates()
    trials = {name: distil(shop, name, flags, options.trial_tokens, 1) for name, flags in settings.items()}
    result = {"machine": machine.description(), "draft_tokens": DRAFT_TOKENS, "tokens": options.tokens,
              "trial_tokens": options.trial_tokens, "seeds": options.seeds, "temperatures": {},
              "note": f"{TRAIN_TOKENS:,} different ones, which the target wrote at temperature 1."}
    for temperature in TEMPERATURES:
        baseline, distilled, tau = choose(shop, temperature, trials)
        drafts = [[distil(shop, name, settings[name], options.tokens, seed + 1) for seed in range(options.seeds)]
                  for name in (distilled, baseline)]
        measured = efficiencies(shop, [folder for kind in drafts for folder in kind], categories, temperature)
        result["temperatures"][str(temperature)] = {
            "trials": tau, "distilled": settings[distilled], "cross_entropy": settings[baseline],
            "categories": compare(measured, *drafts, categories)}
    publish(result, options.out)


if __name__ == "__main__":
    main()
