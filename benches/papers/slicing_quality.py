#!/usr/bin/env python3
"""SliceGPT's quality: perplexity of a model as it is, sliced, and after recovery fine-tuning.

    python benches/papers/slicing_quality.py --model SmolLM2.gguf --calibration valid.txt --test test.txt --work DIR
        [--sparsities 0.1,0.2,0.25,0.3] [--recovery-tokens N] [--out docs/results/slicing-quality.json]

Slices the model to each sparsity, fine-tunes adapters on the calibration text with the dense model as teacher, and
measures all of them on the test text. Every step that is done is skipped, so a stopped run goes on when the command is
repeated. Recovery needs the packages of train/.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

from workshop import ROOT, Workshop

import machine


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--calibration", required=True, type=pathlib.Path, help="text to slice and to recover on")
    parser.add_argument("--test", required=True, type=pathlib.Path, help="text to measure on")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder of all that is made on the way")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path)
    parser.add_argument("--sparsities", default="0.1,0.2,0.25,0.3")
    parser.add_argument("--samples", default=112, type=int, help="calibration sequences of 2,048 tokens")
    parser.add_argument("--recovery-tokens", default=50_000, type=int)
    parser.add_argument("--recovery-flags", default="--lr 1e-3 --warmup-steps 5 --seq-len 512 --batch-tokens 1024 "
                        "--targets attention mlp shortcuts head", help="of reprise_train.rft")
    parser.add_argument("--max-windows", default=0, type=int, help="of the test text; 0: all")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--part", choices=("slice", "recover", "measure"), help="do only this (default: everything)")
    parser.add_argument("--out", type=pathlib.Path, help="write the figures to this JSON file")
    return parser.parse_args()


def folder_of(shop, sparsity):
    return shop.folder / f"sliced-{sparsity}"


def cost_of(shop, sparsity):
    return shop.folder / f"sliced-{sparsity}-cost.json"


def slice_model(options, shop, sparsity):
    """Slices unless that is done; what it took is kept beside the model."""
    out = folder_of(shop, sparsity)
    if out.exists():
        return
    command = [options.build / "reprise", "slice", "--model", options.model, "--out", out, "--sparsity", sparsity,
               "--calibration", options.calibration, "--samples", options.samples, "--seq-len", 2048,
               "--threads", options.threads]
    begin = time.time()
    process = subprocess.Popen(list(map(str, command)))
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"reprise slice ended with status {os.waitstatus_to_exitcode(status)}")
    cost = {"seconds": round(time.time() - begin), "cpu_seconds": round(usage.ru_utime + usage.ru_stime),
            "peak_mib": usage.ru_maxrss >> 10}
    cost_of(shop, sparsity).write_text(json.dumps(cost) + "\n")


def token_ids(options, shop):
    """The calibration text as `reprise tokenize` prints it."""
    path = shop.folder / "ids.txt"
    if not path.exists():
        with options.calibration.open("rb") as text, path.open("wb") as ids:
            subprocess.run([options.build / "reprise", "tokenize", "--model", options.model], stdin=text, stdout=ids,
                           check=True)
    return path


def recovered(options, shop, sparsity):
    """The recovered model's directory, trained unless it is there."""
    return shop.trained("rft", f"recovered-{sparsity}", "model", "--model", folder_of(shop, sparsity), "--ids",
                        token_ids(options, shop), "--teacher", options.model, "--tokens", options.recovery_tokens,
                        "--eval-steps", 1_000_000, "--threads", options.threads, *options.recovery_flags.split())


def perplexity(options, shop, model, name):
    """What `reprise eval perplexity --json` prints, measured unless it is there."""
    path = shop.folder / f"perplexity-{name}.json"
    if not path.exists():
        command = [options.build / "reprise", "eval", "perplexity", "--model", model, "--text", options.test,
                   "--context", 2048, "--max-windows", options.max_windows, "--threads", options.threads, "--json"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        path.write_text(done.stdout.splitlines()[-1] + "\n")
    return json.loads(path.read_text())


def num_parameters(options, model):
    done = subprocess.run([options.build / "reprise", "inspect", model], stdout=subprocess.PIPE, text=True, check=True)
    return int(dict(line.split(maxsplit=1) for line in done.stdout.splitlines())["parameters"])


def measure(options, shop, sparsities):
    dense = perplexity(options, shop, options.model, "dense")
    rows = []
    for sparsity in sparsities:
        model = folder_of(shop, sparsity)
        rows.append({"sparsity": float(sparsity), "parameters": num_parameters(options, model),
                     "sliced": perplexity(options, shop, model, sparsity)["perplexity"],
                     "recovered": perplexity(options, shop, recovered(options, shop, sparsity),
                                             f"recovered-{sparsity}")["perplexity"],
                     **json.loads(cost_of(shop, sparsity).read_text())})
    return {"machine": machine.description(), "dense": dense, "calibration_sequences": options.samples,
            "recovery_tokens": options.recovery_tokens, "recovery_flags": options.recovery_flags, "rows": rows}


def main():
    options = parse_arguments()
    shop = Workshop(options.work.resolve(), options.build.resolve(), options.model.resolve())
    sparsities = options.sparsities.split(",")
    for sparsity in sparsities:
        if options.part in (None, "slice"):
            slice_model(options, shop, sparsity)
        if options.part in (None, "recover"):
            recovered(options, shop, sparsity)
    if options.part not in (None, "measure"):
        return
    text = json.dumps(measure(options, shop, sparsities), indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
