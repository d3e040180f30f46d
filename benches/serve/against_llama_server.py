#!/usr/bin/env python3
"""The daemon beside llama-server: the same GGUF file, threads, prompts, lengths and arrivals, in turns.

    benches/serve/against_llama_server.py --model F.gguf --prompts dev.jsonl --trace azure-conv.csv [--pairs 3]
        [--minutes 12] [--nice -20]
    benches/serve/against_llama_server.py --page-only

The loads are the table in loads.py. Each server is started anew for each run. Rows go to serve-llama-server.jsonl in
--results, and a run measures what they lack for this machine; serve-llama-server.md there is made of all rows. Exit
code 1 when a figure of this machine is worse than llama-server's.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

BENCHES = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BENCHES), str(BENCHES / "against_llama_cpp"), str(BENCHES.parent / "tools")]

import llama_cpp  # noqa: E402
import machine  # noqa: E402
from daemon import Daemon  # noqa: E402
from llama_server import LlamaServer  # noqa: E402
from loads import LOADS, MOST_TOKENS, WARM_UP, RequestMaker  # noqa: E402
from model_files import Given, Requantised  # noqa: E402
from rows import Rows, declare_flags, machine_key  # noqa: E402

MODELS = {"q4_0": Requantised("Q4_0"), "given": Given()}
OUR_FLAGS = ("--kv-cache-memory", "1536MiB", "--max-num-seqs", "32")
# Title: field, whether more is better, whether it says something where arrivals are paced.
FIGURES = {"first token, p50, ms": ("ttft_ms_p50", False, True), "first token, p99, ms": ("ttft_ms_p99", False, True),
           "between tokens, p50, ms": ("itl_ms_p50", False, True),
           "between tokens, p99, ms": ("itl_ms_p99", False, True), "tokens/s": ("tokens_per_s", True, False)}

HEAD = f"""# The daemon beside llama-server

Made by `./dev bench against-llama-server` from `serve-llama-server.jsonl`; do not edit.

llama-server is that of {llama_cpp.PACKAGE} {llama_cpp.VERSION}, built for the machine, with `{' '.join(LlamaServer.flags())}`;
`reprise serve` has its defaults but for `{' '.join(OUR_FLAGS)}`. Greedy completions of real
prompts, streamed; answers are as long as a production trace's, at most {MOST_TOKENS} tokens. With N streams the next request
is sent when one has ended; Poisson arrivals go to at most 32 connections and wait from their arrival on, and their
tokens/s are what arrives. Each cell is llama-server's figure, ours, and how many times better ours is, a median over
pairs of runs with the same requests; every one above 1 is wanted."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="GGUF file of 4 bits")
    parser.add_argument("--prompts", type=pathlib.Path, help="JSON lines with turns")
    parser.add_argument("--trace", type=pathlib.Path, help="CSV with GeneratedTokens")
    parser.add_argument("--build", default=machine.ROOT / "build/release", type=pathlib.Path,
                        help="folder with reprise and benches/serve/bench_serve")
    llama_cpp.declare_flags(parser)
    parser.add_argument("--only", default=",".join(MODELS), help="which files (default: %(default)s)")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--pairs", default=3, type=int)
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    declare_flags(parser)
    options = parser.parse_args()
    if not options.page_only and not (options.model and options.prompts and options.trace):
        parser.error("--model, --prompts and --trace are needed")
    if unknown := set(options.only.split(",")) - set(MODELS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return options


def run_client(options, server, load, requests):
    command = [options.build / "benches/serve/bench_serve", "--port", server.port, "--concurrency", load.concurrency,
               "--file", requests, "--warm-up", WARM_UP, *(["--paced", 1] if load.rate else [])]
    done = subprocess.run(list(map(str, command)), cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def start_ours(options, model, programs):
    return Daemon(options.build / "reprise", "--model", model, "--threads", options.threads, *OUR_FLAGS)


def start_theirs(options, model, programs):
    return LlamaServer(programs / "llama-server", model, options.threads)


SERVERS = {"theirs": start_theirs, "ours": start_ours}


def measure_pair(options, programs, model, load, maker, seed):
    """The client's row of each server."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        requests = pathlib.Path(folder) / "requests"
        maker.write(load, seed, requests)
        for side, start in SERVERS.items():
            with start(options, model, programs) as server:
                rows[side] = run_client(options, server, load, requests)
    if rows["ours"]["completion_tokens"] != rows["theirs"]["completion_tokens"]:
        print(f"{load.name}: the servers generated different numbers of tokens", file=sys.stderr)
    return rows


def measure(options, rows, here):
    fields = machine.description()
    end = time.monotonic() + 60 * options.minutes
    programs = llama_cpp.programs(options)
    maker = RequestMaker(options.prompts, options.trace)
    files = {name: MODELS[name].path(options.model, programs) for name in options.only.split(",")}
    for pair in range(options.pairs):
        for name, file in files.items():
            for load in LOADS:
                key = {**here, "model": name, "load": load.name, "pair": pair}
                if rows.select(**key) or time.monotonic() > end:
                    continue
                with machine.Disturbance() as others:
                    both = measure_pair(options, programs, file, load, maker, pair)
                row = {**fields, **key, "file": file.name, **both, "others": round(others.share, 3)}
                rows.add(row)
                print(name, load.name, {field: (row["theirs"][field], row["ours"][field])
                                        for field, _, _ in FIGURES.values()}, flush=True)


def advantages(pairs, field, more_is_better):
    """How many times better ours is, pair by pair."""
    ratios = [row["ours"][field] / row["theirs"][field] for row in pairs]
    return ratios if more_is_better else [1 / ratio for ratio in ratios]


def shown(value):
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def figures_of(load):
    return {title: (field, more) for title, (field, more, paced) in FIGURES.items() if paced or not load.rate}


def table(rows, here, model):
    lines = ["| load | " + " | ".join(FIGURES) + " |", "|---|" + "---:|" * len(FIGURES)]
    for load in LOADS:
        pairs = rows.select(**here, model=model, load=load.name)
        if not pairs:
            continue
        cells = []
        for title in FIGURES:
            if title not in figures_of(load):
                cells.append("—")
                continue
            field, more = figures_of(load)[title]
            theirs, ours = (statistics.median(row[side][field] for row in pairs) for side in SERVERS)
            ratio = statistics.median(advantages(pairs, field, more))
            cells.append(f"{shown(theirs)} / {shown(ours)} (**{ratio:.2f}×**{'' if ratio > 1 else ', worse'})")
        lines.append(f"| {load.name} | " + " | ".join(cells) + " |")
    return lines


def machine_section(rows, here):
    last = rows.select(**here)[-1]
    lines = ["", f"## {here['cpu']}", "",
             f"{machine.sentence(last)}. {here['threads']} threads for both; the client runs on the same cores."]
    for name in MODELS:
        if mine := rows.select(**here, model=name):
            pairs = 1 + max(row["pair"] for row in mine)
            lines += ["", f"### {mine[-1]['file']}", "", f"Medians, pairs of runs: {pairs}; others had at most "
                      f"{max(row['others'] for row in mine):.0%} of the cores.", "", *table(rows, here, name)]
    return lines


def write_page(rows, path):
    lines = [HEAD]
    for here in rows.machines():
        lines += machine_section(rows, here)
    path.write_text("\n".join(lines) + "\n")


def better_everywhere(rows, here):
    for model in MODELS:
        for load in LOADS:
            pairs = rows.select(**here, model=model, load=load.name)
            for field, more in figures_of(load).values():
                if pairs and statistics.median(advantages(pairs, field, more)) <= 1:
                    return False
    return True


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    rows = Rows(options.results / "serve-llama-server.jsonl")
    here = machine_key(options.threads)
    if options.fresh:
        rows.drop(**here)
    if not options.page_only:
        measure(options, rows, here)
    write_page(rows, options.results / "serve-llama-server.md")
    return 0 if better_everywhere(rows, here) else 1


if __name__ == "__main__":
    sys.exit(main())
