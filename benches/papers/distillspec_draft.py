#!/usr/bin/env python3
"""DistillSpec against cross-entropy for a draft of a given model, SmolLM2-135M-Instruct say.

    python benches/papers/distillspec_draft.py --model SmolLM2.gguf --train-prompts prompts.jsonl --prompts dev.jsonl
        --work DIR [--out docs/results/distillspec-smollm2.json]

Needs the packages of train/. All drafts start as the target's first layers, learn from the same answers, which the target
samples at temperature 1, and see as many of their tokens. One learns the sampled tokens by cross-entropy. The others
start with forward KL; the last quarter is forward KL of sharpened distributions for one, which greedy decoding asks for,
for another the total variation distance, which is the rate of rejection itself, and for the third the sum of that and the same
of sharpened distributions. Figures are of the target's answers to
`--prompts`, at either temperature. Every step that is done is skipped, so a stopped run goes on when the command is repeated.
"""

import argparse
import json
import pathlib

from distillspec import CROSS_ENTROPY, gain, pooled
from workshop import ROOT, Workshop, publish, train_command

import machine

DRAFT_TOKENS = 4
ANSWER_TOKENS = 256
TRAIN_TOKENS = 1_000_000  # after so many of answers to the training prompts no more are asked for
VALIDATION_PROMPTS = 60   # the training log reports their agreement; nothing is chosen by it
COMMON = ("--draft-vocab 8192 --batch-tokens 2048 --threads 1 --on-policy 0 --eval-steps 400 "
          "--checkpoint-minutes 5").split()
# Stages: name, flags, share of the tokens. The learning rate starts anew in each; the first of all distilled ones is one run.
CROSS_ENTROPY_STAGES = [("cross-entropy", f"{CROSS_ENTROPY} --lr 4e-3", 1)]
FORWARD_KL = ("forward-kl", "--divergence fkl --lr 8e-3", 3)
DISTILLED = {"sharpened": [FORWARD_KL, ("sharpened", "--divergence fkl --temperature 0.5 --lr 4e-3", 1)],
             "total_variation": [FORWARD_KL, ("total-variation", "--divergence tvd --lr 4e-3", 1)],
             "two_temperatures": [FORWARD_KL, ("two-temperatures", "--divergence tvd --temperature 1 0.5 --lr 4e-3", 1)]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, type=pathlib.Path, help="the target")
    add("--train-prompts", required=True, type=pathlib.Path, help="made by reprise_train.prompts")
    add("--prompts", required=True, type=pathlib.Path, help="of the figures, JSON lines with a 'prompt'")
    add("--work", required=True, type=pathlib.Path, help="folder of all that is made on the way")
    add("--build", default=ROOT / "build/release", type=pathlib.Path)
    add("--layers", default=2, type=int, help="of each draft")
    add("--tokens", default=4_000_000, type=int, help="that each draft sees")
    add("--seed", default=1, type=int)
    add("--out", type=pathlib.Path, help="write the figures to this JSON file")
    return parser.parse_args()


def write_prompts(options, shop):
    """Files of the prompts to train on, to validate with, and to measure with."""
    held_out = options.prompts.read_text(encoding="utf-8").splitlines(keepends=True)
    shop.prompts("train").write_text(options.train_prompts.read_text(encoding="utf-8"), encoding="utf-8")
    shop.prompts("validation").write_text("".join(held_out[:VALIDATION_PROMPTS]), encoding="utf-8")
    shop.prompts("held-out").write_text("".join(held_out), encoding="utf-8")


def distil(options, shop, stages):
    """The draft's directory behind the last of the stages; those that are done are skipped."""
    start, shares = [], sum(share for _, _, share in stages)
    for name, flags, share in stages:
        draft = shop.trained("distil", name, "draft", "--target", options.model, "--hidden", shop.states("train", 1),
                             "--validation", shop.states("validation", 0), *COMMON, "--layers", options.layers,
                             *flags.split(), *start, "--tokens", options.tokens * share // shares, "--seed",
                             options.seed)
        start = ["--start", draft]
    return draft


def efficiencies(options, shop, drafts, temperature):
    """{draft: [[tokens, passes] of each answer]}."""
    out = shop.folder / f"efficiency-{temperature}.json"
    train_command("block_efficiency", "--target", options.model, "--drafts", *drafts, "--held-out",
                  f"held-out={shop.states('held-out', temperature)}", "--temperature", temperature,
                  "--draft-tokens", DRAFT_TOKENS, "--threads", 1, "--out", out)
    return {draft: rows["held-out"] for draft, rows in json.loads(out.read_text())["drafts"].items()}


def main():
    options = parse_arguments()
    shop = Workshop(options.work, options.build, options.model)
    write_prompts(options, shop)
    shop.write_states([("train", 1), ("validation", 0), ("held-out", 0), ("held-out", 1)], ANSWER_TOKENS,
                      {"train": TRAIN_TOKENS})
    result = {"machine": machine.description(), "draft_tokens": DRAFT_TOKENS, "layers": options.layers,
              "tokens": options.tokens, "seed": options.seed, "temperatures": {}}
    baseline = distil(options, shop, CROSS_ENTROPY_STAGES)
    drafts = {name: distil(options, shop, stages) for name, stages in DISTILLED.items()}
    for temperature in (0, 1):
        measured = efficiencies(options, shop, [*drafts.values(), baseline], temperature)
        against = measured[str(baseline)]
        distilled = {name: measured[str(draft)] for name, draft in drafts.items()}
        result["temperatures"][str(temperature)] = {
            "answers": len(against), "cross_entropy": pooled(against),
            "distilled": {name: {"tokens_per_pass": pooled(rows), **gain([rows], [against])}
                          for name, rows in distilled.items()}}
    publish(result, options.out)


if __name__ == "__main__":
    main()
