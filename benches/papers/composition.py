#!/usr/bin/env python3
"""Slicing and recycling together, on the embedded family: is the speed-up of both the product of the two?

    python benches/papers/composition.py --tales fairytales.txt.xz --work DIR [--nice -20] [--out composition.json]
        [--train-only | --measure-only]

Slices the embedded model, trains a recycle module on the sliced model's own text, then measures one stream of greedy
decoding in four settings, in turns: dense and sliced, plain and recycled. The tokens of recycled decoding must be those
of plain decoding. Training needs the packages of train/; measuring needs none.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

from workshop import EMBEDDED, ROOT, Workshop, publish, run

import machine
from daemon import Daemon

SPARSITY = 0.25
TRAIN_PROMPTS, HELD_OUT_PROMPTS = 6000, 60
TRAIN_TEMPERATURES = (0, 0.8, 1)  # as the dense model's module learnt from
ANSWER_TOKENS = 128
CALIBRATION = ("--samples", 128, "--seq-len", 512)
MODULE_FLAGS = ("--draft-vocab 2048 --batch-tokens 4096 --threads 1 --lr 5e-3 --unroll 2 "
                "--eval-steps 1000000").split()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tales", type=pathlib.Path, help="the text that the embedded model learnt; to train")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder of all that is made on the way")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path)
    parser.add_argument("--text-tokens", default=570_000, type=int, help="answers that the module learns from")
    parser.add_argument("--tokens", default=530_000, type=int, help="that it is trained on")
    parser.add_argument("--seeds", default=3, type=int, help="modules to train and to measure")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--draft-tokens", default=2, type=int, help="of the module's chain")
    parser.add_argument("--rounds", default=9, type=int)
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--train-only", action="store_true")
    part.add_argument("--measure-only", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, help="write the figures to this JSON file")
    return parser.parse_args()


def write_texts(options, shop):
    """Prompts from the books that the model has seen and from those that it has not, and a text to calibrate on."""
    from reprise_train import data, prompts

    calibration = shop.folder / "calibration.txt"
    if calibration.exists():
        return calibration
    books = data.split_books(data.read_text(options.tales))
    held_out = data.choose_held_out(books, 0.015, seed=1)
    seen, unseen = ("\n\n".join(p for index, book in enumerate(books) if (index in held_out) == wanted
                                for p in book.paragraphs) for wanted in (False, True))
    for name, text, count in (("train", seen, TRAIN_PROMPTS), ("held-out", unseen, HELD_OUT_PROMPTS)):
        lines = prompts.beginnings(text, count, seed=3)
        shop.prompts(name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    calibration.write_text(seen[: 4_000_000], encoding="utf-8")
    return calibration


def train(options, shop):
    """The sliced model and its module, made unless they are there."""
    calibration = write_texts(options, shop)
    if not shop.target.exists():
        run(options.build / "reprise", "slice", "--model", EMBEDDED, "--out", shop.target, "--sparsity", SPARSITY,
            "--dtype", "bf16", "--calibration", calibration, *CALIBRATION, "--threads", 1)
    shop.write_states([("train", TRAIN_TEMPERATURES), ("held-out", 0)], ANSWER_TOKENS, {"train": options.text_tokens})
    for seed in range(1, options.seeds + 1):
        shop.trained("recycle", f"module-seed{seed}", "module", "--base", shop.target, "--hidden",
                     shop.states("train", TRAIN_TEMPERATURES), "--validation", shop.states("held-out", 0), *MODULE_FLAGS,
                     "--tokens", options.tokens, "--seed", seed)


def check_lossless(options, shop, module):
    """Prompts whose recycled tokens were compared with the plain ones; raises when any differ."""
    asked = [json.loads(line)["prompt"] for line in shop.prompts("held-out").read_text().splitlines()]
    with Daemon(options.build / "reprise", "--model", shop.target, "--recycle", module) as daemon:
        for prompt in asked:
            tokens = []
            for method in ("plain", "recycle"):
                body = {"prompt": prompt, "max_tokens": 96, "temperature": 0, "decoding": method,
                        "return_token_ids": True}
                status, _, reply = daemon.post("/v1/completions", body)
                if status != 200:
                    raise RuntimeError(f"/v1/completions: {status} {reply}")
                tokens.append(reply["choices"][0]["token_ids"])
            if tokens[0] != tokens[1]:
                raise RuntimeError(f"recycled decoding changed the tokens after {prompt!r}")
    return len(asked)


def bench(options, shop, model, module, method):
    """One row of `reprise bench`: a stream of greedy decoding over the held-out prompts."""
    command = [options.build / "reprise", "bench", "--model", model, "--prompts", shop.prompts("held-out"),
               "--decoding", method, "--concurrency", 1, "--gen-tokens", 96, "--repeats", 1, "--threads",
               options.threads, "--json"]
    if method == "recycle":
        command += ["--recycle", module, "--max-draft-tokens", options.draft_tokens]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options, shop):
    """Speed-ups, medians over the rounds, and what they multiply to; of the module of each seed."""
    modules = {seed: shop.folder / f"run-module-seed{seed}/module" for seed in range(1, options.seeds + 1)}
    settings = {"dense": (EMBEDDED, None, "plain"), "sliced": (shop.target, None, "plain"),
                "recycled": (EMBEDDED, ROOT / "assets/recycle", "recycle"),
                **{f"both-{seed}": (shop.target, module, "recycle") for seed, module in modules.items()}}
    rounds = [{name: bench(options, shop, *setting) for name, setting in settings.items()}
              for _ in range(options.rounds)]
    both = [f"both-{seed}" for seed in modules]

    def speedup(name):
        return statistics.median(r[name]["decode_tokens_per_s"] / r["dense"]["decode_tokens_per_s"] for r in rounds)

    def kept(name):
        return statistics.median(r[name]["decode_tokens_per_s"] * r["dense"]["decode_tokens_per_s"]
                                 / (r["sliced"]["decode_tokens_per_s"] * r["recycled"]["decode_tokens_per_s"])
                                 for r in rounds)

    by_seed, last = [round(kept(name), 4) for name in both], rounds[-1]
    compared = [check_lossless(options, shop, module) for module in modules.values()]
    return {"machine": machine.description(), "tokens": options.tokens, "rounds": options.rounds,
            "threads": options.threads, "draft_tokens": options.draft_tokens, "compared_prompts": sum(compared),
            "speedup": {"sliced": round(speedup("sliced"), 4), "recycled": round(speedup("recycled"), 4),
                        "both": round(statistics.mean(map(speedup, both)), 4)},
            "kept": round(statistics.mean(by_seed), 4), "kept_by_seed": by_seed,
            "tokens_per_pass": {name: last[name]["tokens_per_pass"] for name in ("recycled", *both)},
            "acceptance": {name: last[name]["acceptance_by_position"] for name in ("recycled", *both)}}


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    shop = Workshop(options.work.resolve(), options.build.resolve(), options.work.resolve() / "sliced")
    if not options.measure_only:
        train(options, shop)
    if options.train_only:
        return
    publish(measure(options, shop), options.out)


if __name__ == "__main__":
    main()
