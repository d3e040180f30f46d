#!/usr/bin/env python3
"""Slices the embedded model by a quarter (SliceGPT) and serves it: sizes, perplexities and speeds of both.

Usage: demo_sliced.py BUILD_DIRECTORY

The text is what the dense model itself writes at temperature 1, one part to calibrate on and another to measure on, so
nothing is needed but the build.
"""

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile

from daemon import Daemon

MODEL = pathlib.Path(__file__).resolve().parent.parent / "assets/base"
SPARSITY = 0.25
TALES, CALIBRATION_TALES, TALE_TOKENS = 120, 90, 256
SAMPLES, SEQUENCE = 64, 256
PROMPT = "Once upon a time, in a far country by the sea, there lived an old king who"
TOKENS = 128


def reprise(build, *arguments):
    """Standard output of a command; its own words are the error."""
    done = subprocess.run([build / "reprise", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def complete(daemon, prompt, tokens, **sampling):
    """Of a request that is decoded plainly: text and metrics."""
    body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "decoding": "plain", **sampling}
    status, _, reply = daemon.post("/v1/completions", body)
    if status != 200:
        raise RuntimeError(f"/v1/completions: {status} {reply}")
    return reply["choices"][0]["text"], reply["metrics"]


def write_tales(daemon):
    """Tales of TALE_TOKENS tokens, 16 requests at a time."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda seed: complete(daemon, PROMPT, TALE_TOKENS, temperature=1, seed=seed)[0],
                             range(TALES)))


def sample(daemon):
    """The greedy continuation of PROMPT and its speed, the second time: the first one warms up."""
    complete(daemon, PROMPT, TOKENS, temperature=0)
    text, metrics = complete(daemon, PROMPT, TOKENS, temperature=0)
    return text, metrics["tokens_per_second"]


def describe(build, model):
    """Parameters and megabytes of the weights."""
    rows = dict(line.split(maxsplit=1) for line in reprise(build, "inspect", model).splitlines())
    return int(rows["parameters"]), int(rows["bytes"].split()[0]) / 1e6


def perplexity(build, model, text):
    row = reprise(build, "eval", "perplexity", "--model", model, "--text", text, "--context", SEQUENCE, "--json")
    return json.loads(row.splitlines()[-1])["perplexity"]


def show(name, figures):
    parameters, megabytes, perplexity_, speed = figures
    print(f"{name:8} {parameters / 1e6:6.2f} M parameters  {megabytes:5.1f} MB  perplexity {perplexity_:7.2f}  "
          f"{speed:5.0f} tokens/s")


def main():
    build = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="reprise-demo-") as folder:
        calibration, held_out, sliced = (pathlib.Path(folder) / name for name in ("calibration", "text", "sliced"))
        with Daemon(build / "reprise", "--model", MODEL) as daemon:
            print(f"the dense model writes {TALES} tales to calibrate and to measure on", flush=True)
            tales = write_tales(daemon)
            dense_speed = sample(daemon)[1]
            daemon.stop()
        calibration.write_text("\n\n".join(tales[:CALIBRATION_TALES]))
        held_out.write_text("\n\n".join(tales[CALIBRATION_TALES:]))
        print(f"reprise slice --sparsity {SPARSITY}", flush=True)
        reprise(build, "slice", "--model", MODEL, "--out", sliced, "--sparsity", SPARSITY, "--calibration", calibration,
                "--samples", SAMPLES, "--seq-len", SEQUENCE, "--dtype", "bf16")
        with Daemon(build / "reprise", "--model", sliced) as daemon:
            text, sliced_speed = sample(daemon)
            code = daemon.stop()
        print(f"\n{PROMPT}{text}\n")
        show("dense", (*describe(build, MODEL), perplexity(build, MODEL, held_out), dense_speed))
        show("sliced", (*describe(build, sliced), perplexity(build, sliced, held_out), sliced_speed))
        print("The dense model's head is its embedding; the sliced one has both, and shortcuts, so a model as small as "
              "this one grows (docs/slicing.md).")
    print(f"\nSIGTERM: the daemon drained and exited with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
