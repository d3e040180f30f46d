#!/usr/bin/env python3
"""Speed of reprise beside llama.cpp: the same GGUF file, the same threads, the runs interleaved on one machine.

    benches/against_llama_cpp/compare.py --model F.gguf ... [--reprise build/release/reprise] [--threads 2]
        [--pairs 5] [--llama-cpp-bin DIR] [--json rows.jsonl] [--markdown page.md]

Without --llama-cpp-bin (or $LLAMA_CPP_BIN) llama.cpp is fetched and built below $XDG_CACHE_HOME/reprise. A pair is
one run of each engine, one after the other; a pair that other processes disturbed is measured again. Exit code 1 when
a median ratio is below its bar.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import llama_cpp  # noqa: E402
import machine  # noqa: E402
from engines import WORKLOADS, LlamaCpp, Reprise  # noqa: E402

ATTEMPTS = 4  # at one pair


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, nargs="+", type=pathlib.Path, help="GGUF files, for both")
    parser.add_argument("--reprise", default=machine.ROOT / "build/release/reprise", type=pathlib.Path)
    parser.add_argument("--llama-cpp-bin", default=os.environ.get("LLAMA_CPP_BIN"), type=pathlib.Path,
                        help="folder of a llama.cpp that is built already; default: fetch and build it")
    parser.add_argument("--pip", default=f"{sys.executable} -m pip", help="command that runs pip")
    parser.add_argument("--jobs", default=os.cpu_count(), type=int, help="parallel compilations of llama.cpp")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--pairs", default=5, type=int)
    parser.add_argument("--workloads", default=",".join(w.name for w in WORKLOADS))
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    parser.add_argument("--max-others", type=float,
                        help="share of the cores that other processes may use during a run (default 0.1; with --nice "
                             "1, as they only get what the engines leave)")
    parser.add_argument("--json", type=pathlib.Path, help="write one row a run to this file")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the result as a page")
    options = parser.parse_args()
    if options.max_others is None:
        options.max_others = 1.0 if options.nice else 0.1
    return options


def measure_once(engine, workload, model, options, fields):
    with machine.Disturbance() as others:
        speed, row = engine.measure(workload)
    row = {"engine": engine.name, "workload": workload.name, "tokens_per_s": round(speed, 1),
           "others": round(others.share, 3), "threads": options.threads, "model": model.name,
           "details": row, **fields}
    if options.json:
        with options.json.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def measure_pair(engines, workload, model, options, fields):
    """One row of each engine. After too many disturbed attempts, the quietest one."""
    quietest = None
    for _ in range(ATTEMPTS):
        machine.wait_until_quiet(options.max_others, timeout_s=20)
        pair = [measure_once(engine, workload, model, options, fields) for engine in engines]
        if quietest is None or disturbance([pair]) < disturbance([quietest]):
            quietest = pair
        if disturbance([quietest]) <= options.max_others:
            break
    return quietest


def disturbance(pairs):
    return max(row["others"] for pair in pairs for row in pair)


def summarise(workload, pairs):
    theirs, ours = ([row["tokens_per_s"] for row in side] for side in zip(*pairs))
    ratios = [our / their for their, our in zip(theirs, ours)]
    details = [row["details"] for _, row in pairs]
    return {"workload": workload, "theirs": statistics.median(theirs), "ours": statistics.median(ours),
            "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
            "weights_gb_per_s": statistics.median(d["weights_gb_per_s"] for d in details),
            "bandwidth_gb_per_s": statistics.median(d["bandwidth_gb_per_s"] for d in details),
            "backend": details[0]["backend"], "others": disturbance(pairs)}


def table(summaries):
    lines = ["| workload | llama.cpp, tokens/s | reprise, tokens/s | ratio (lowest … highest) | bar | "
             "reprise reads weights, GB/s | plain reading, GB/s | others' CPU, at most |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for s in summaries:
        decodes = s["workload"].generate > 0
        lines.append(
            f"| {s['workload'].title} | {s['theirs']:.0f} | {s['ours']:.0f} "
            f"| **{s['ratio']:.2f}** ({s['lowest']:.2f} … {s['highest']:.2f}) | {s['workload'].bar} "
            f"| {format(s['weights_gb_per_s'], '.1f') if decodes else '—'} | {s['bandwidth_gb_per_s']:.1f} "
            f"| {100 * s['others']:.0f} % |")
    return "\n".join(lines)


def measure_model(folder, model, options, fields):
    """Summaries of all workloads, and the peer with the settings it was given."""
    peer = LlamaCpp(folder, model, options.threads)
    engines = [peer, Reprise(options.reprise, model, options.threads)]
    summaries = []
    for workload in (w for w in WORKLOADS if w.name in options.workloads.split(",")):
        print(f"{model.name}, {workload.title}: llama.cpp's settings, tokens/s: {peer.choose_settings(workload)}",
              flush=True)
        pairs = []
        for _ in range(options.pairs):
            pairs.append(measure_pair(engines, workload, model, options, fields))
            print("  " + ", ".join(f"{row['engine']} {row['tokens_per_s']:.0f} (others {row['others']:.0%})"
                                   for row in pairs[-1]), flush=True)
        summaries.append(summarise(workload, pairs))
    print(table(summaries))
    return summaries, peer


def section(model, summaries, peer):
    settings = ", ".join(f"{name} `{' '.join(flags)}`" for name, flags in peer.settings.items())
    return f"""## {model.name}

Our kernels: `{summaries[0]['backend']}`. llama.cpp's best settings of those tried: {settings}.

{table(summaries)}
"""


def page(results, options, fields):
    sections = "\n".join(section(model, *result) for model, result in results.items())
    return f"""# Speed on a CPU, beside llama.cpp

Made by `benches/against_llama_cpp/compare.py {shlex.join(sys.argv[1:])}`; do not edit.

Machine: {machine.sentence(fields)}. {options.threads} threads for both. llama.cpp is the copy in
{llama_cpp.PACKAGE} {llama_cpp.VERSION}, built for this machine (`GGML_NATIVE`).

{sections}
Medians over {options.pairs} pairs, the two engines in turn; a ratio is taken within a pair. In each run an engine warms up, repeats
the workload and keeps its best. *Plain reading* is what the threads get from memory by reading alone, measured between
our runs: the roofline of decoding. *Others' CPU* is the share of the cores that other processes had while an engine's
process lived, loading included. Our decode rate is by the wall clock over whole steps, sampling included; llama.cpp's
tools sample nothing. The speeds are those of this machine in this hour; only the ratios are meant to be compared.
"""


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    folder = options.llama_cpp_bin
    if folder is None:
        cache = llama_cpp.cache_folder()
        folder = llama_cpp.build(llama_cpp.fetch(cache, options.pip.split()), cache / "build", options.jobs)
    fields = machine.description()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text("")
    results = {model: measure_model(folder, model, options, fields) for model in options.model}
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(page(results, options, fields))
    reached = [s["ratio"] >= s["workload"].bar for summaries, _ in results.values() for s in summaries]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
