#!/usr/bin/env python3
"""The papers' claims with our figures beside them: measures what a CPU can in minutes, and writes the page.

    benches/papers/run.py --model SmolLM2.gguf --recycle DIR --prompts dev.jsonl [--only R1,S3] [--shape 7b]
        [--nice -20] [--page-only]

Figures go to docs/results/papers.json, each with its command, and stay there until they are measured again; the page is
docs/results/papers.md. Some rows come from long runs with commands of their own: distillspec.py, composition.py, slicing_quality.py.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

BENCHES = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BENCHES)]

import machine  # noqa: E402
from claims import CLAIMS  # noqa: E402

RESULTS = machine.ROOT / "docs/results"
LENIENCES = (1, 0.5, 0.2, 0.05, 0)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="SmolLM2-135M-Instruct as a GGUF file")
    parser.add_argument("--recycle", default=machine.ROOT / "assets/smollm2-135m-instruct/recycle", type=pathlib.Path)
    parser.add_argument("--prompts", type=pathlib.Path, help="JSON lines with category and turns")
    parser.add_argument("--build", default=machine.ROOT / "build/release", type=pathlib.Path)
    parser.add_argument("--only", default="R1,R3,D5,S3", help="which of these to measure")
    parser.add_argument("--shape", default="7b", help="of S3: 7b needs 8 GB, 1.3b less")
    parser.add_argument("--limit", default=24, type=int, help="prompts of R1 and D5")
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    parser.add_argument("--page-only", action="store_true", help="measure nothing")
    return parser.parse_args()


def output(*command):
    """Standard output of a command, and the command as a person would type it."""
    command = list(map(str, command))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout, shlex.join(pathlib.Path(word).name if word.startswith("/") else word for word in command)


def spread(values):
    return f"{min(values):.2f} … {max(values):.2f}"


def measure_recycling(options):
    """R1, R1v and R5: plain, verified and unverified decoding in turns, on one engine."""
    text, command = output(options.build / "benches/decoding/bench_decoding", "--model", options.model, "--recycle",
                           options.recycle, "--prompts", options.prompts, "--methods", "plain,recycle:1,unverified",
                           "--streams", 1, "--limit", options.limit, "--max-tokens", 64, "--rounds", options.rounds,
                           "--threads", options.threads)
    profile, *rows = map(json.loads, text.splitlines())
    rounds = [{row["method"]: row for row in rows if row["round"] == r} for r in sorted({r["round"] for r in rows})]

    def ratios(method):
        return [r[method]["decode_tokens_per_second"] / r["plain"]["decode_tokens_per_second"] for r in rounds]

    shared = {"command": command, "data": f"{options.limit} prompts of {options.prompts.name}, categories mixed",
              "runs": f"{len(rounds)} rounds"}
    last = rounds[-1]
    stood = last["recycle:1"]["accepted"] / last["recycle:1"]["drafted"]
    costs = f"v2 {profile['v']['2']:.2f}, c {profile['c']['recycle']['1']:.3f}"
    per_pass = {method: last[method]["tokens_per_pass"] for method in ("recycle:1", "unverified")}
    return {"R1": {**shared, "figure": f"{statistics.median(ratios('unverified')):.2f}× ({costs})",
                   "spread": spread(ratios("unverified"))},
            "R1v": {**shared, "figure": f"{statistics.median(ratios('recycle:1')):.2f}× ({stood:.0%} of drafts stood)",
                    "spread": spread(ratios("recycle:1"))},
            "R5": {**shared,
                   "figure": f"{per_pass['unverified']:.2f} unverified, {per_pass['recycle:1']:.2f} verified"}}


def parameters(options, path):
    text, command = output(options.build / "reprise", "inspect", path)
    return int(dict(line.split(maxsplit=1) for line in text.splitlines())["parameters"]), command


def measure_size(options):
    module, command = parameters(options, options.recycle)
    model, _ = parameters(options, options.model)
    return {"R3": {"figure": f"{module / model:.1%} ({module:,} of {model:,})", "command": command}}


def measure_lenience(options):
    """D5: tokens a second by lenience, in turns."""
    speeds = {lenience: [] for lenience in LENIENCES}
    lines = options.prompts.read_text().splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as some:
        some.writelines(lines[::max(1, len(lines) // options.limit)])  # of all categories
        some.flush()
        for _ in range(options.rounds):
            for lenience in LENIENCES:
                text, command = output(options.build / "reprise", "bench", "--model", options.model, "--recycle",
                                       options.recycle, "--prompts", some.name, "--decoding", "recycle",
                                       "--max-draft-tokens", 1, "--lenience", lenience, "--concurrency", 1,
                                       "--gen-tokens", 64, "--repeats", 1, "--threads", options.threads, "--json")
                speeds[lenience].append(json.loads(text.splitlines()[-1])["decode_tokens_per_s"])
    command = command.replace(pathlib.Path(some.name).name, options.prompts.name)
    strict = statistics.median(speeds[1])
    shown = ", ".join(f"{lenience:g}: {statistics.median(speeds[lenience]) / strict:.2f}×" for lenience in LENIENCES)
    return {"D5": {"figure": f"over strict verification, by lenience {shown}", "command": command,
                   "data": f"about {options.limit} prompts of {options.prompts.name}",
                   "runs": f"{options.rounds} rounds"}}


def measure_sliced_steps(options):
    """S3: steps of a dense and a sliced model in turns."""
    rows = []
    for _ in range(3):
        text, command = output(options.build / "benches/bench_sliced", "--shape", options.shape, "--sparsity",
                               "0.1,0.25,0.5", "--threads", options.threads, "--steps", 100, "--json")
        rows += map(json.loads, text.splitlines())
    return {"S3": {"figure": describe_sliced_steps(rows), "spread": spread_of_sliced_steps(rows), "command": command,
                   "data": "random weights", "runs": "3"}}


def by_sparsity(rows):
    """(sparsity, its rows), ascending."""
    return [(s, [row for row in rows if row["sparsity"] == s]) for s in sorted({row["sparsity"] for row in rows})]


def describe_sliced_steps(rows):
    shown = []
    for sparsity, mine in by_sparsity(rows):
        ratio, ceiling = statistics.median(row["speedup_median"] for row in mine), mine[0]["bytes_ratio"]
        shown.append(f"{sparsity:.0%}: {ratio:.2f}× of at most {ceiling:.2f}× ({ratio / ceiling:.1%})")
    return "; ".join(shown)


def spread_of_sliced_steps(rows):
    return "; ".join(f"{s:.0%}: {spread([row['speedup_median'] for row in mine])}" for s, mine in by_sparsity(rows))


def read_distillation(figures):
    """D1 and D2 from the file that distillspec.py writes."""
    shared = {"command": figures.get("command", "python benches/papers/distillspec.py …"),
              "runs": f"{figures['seeds']} seed(s)",
              "data": f"{figures['tokens']:,} answer tokens a draft. {figures.get('note', '')}".strip()}
    overall, held_out, spreads = [], [], []
    for temperature, result in figures["temperatures"].items():
        everything = result["categories"]["all"]
        overall.append(f"T = {temperature}: {everything['gain']:+.1%}")
        spreads.append(f"T = {temperature}: {everything['low']:+.1%} … {everything['high']:+.1%}, by seed "
                       + ", ".join(f"{gain:+.1%}" for gain in everything["by_seed"]))
        single = {name: row for name, row in result["categories"].items() if name != "all"}
        worst = min(single, key=lambda name: single[name]["gain"])
        below = sum(row["high"] < 0 for row in single.values())
        held_out.append(f"T = {temperature}: from {single[worst]['gain']:+.1%} ({worst}) to "
                        f"{max(row['gain'] for row in single.values()):+.1%}; {below} wholly below zero")
    return {"D1": {**shared, "figure": "; ".join(overall), "spread": "; ".join(spreads)},
            "D2": {**shared, "figure": "; ".join(held_out)}}


def read_composition(figures):
    speedup = figures["speedup"]
    return {"C1": {"figure": f"{figures['kept']:.2f} of the product: sliced {speedup['sliced']:.2f}×, recycled "
                             f"{speedup['recycled']:.2f}×, both {speedup['both']:.2f}×; tokens equal on "
                             f"{figures['compared_prompts']} prompts",
                   "command": f"python benches/papers/composition.py --tokens {figures['tokens']} …",
                   "runs": f"{len(figures['kept_by_seed'])} modules, {figures['rounds']} rounds",
                   "spread": "by seed " + ", ".join(f"{kept:.2f}" for kept in figures["kept_by_seed"])}}


def read_slicing_quality(figures):
    """S1 and S7 from the file that slicing_quality.py writes."""
    windows, calibration = figures["dense"]["windows"], f"{figures['calibration_sequences']} × 2,048"
    rows = [f"{row['sparsity']:.0%}: {row['sliced']:.2f}, recovered {row['recovered']:.2f}" for row in figures["rows"]]
    shared = {"command": "python benches/papers/slicing_quality.py …", "runs": "1"}
    return {"S1": {**shared, "figure": f"dense {figures['dense']['perplexity']:.2f}; " + "; ".join(rows),
                   "data": f"{windows} windows of 2,048 tokens; {calibration} tokens of calibration, "
                           f"{figures['recovery_tokens']:,} of recovery"},
            "S7": {**shared, "figure": f"{spread([row['cpu_seconds'] / 60 for row in figures['rows']])} CPU minutes",
                   "data": f"{calibration} tokens"}}


MEASURED = {"R1": measure_recycling, "R3": measure_size, "D5": measure_lenience, "S3": measure_sliced_steps}
RECORDED = {"distillspec.json": read_distillation, "composition.json": read_composition,
            "slicing-quality.json": read_slicing_quality}


def page(figures):
    lines = ["# The papers' claims", "",
             "Made by `benches/papers/run.py` from `papers.json`; do not edit. Each figure has its command below.", ""]
    for paper, claims in CLAIMS.items():
        lines += [f"## {paper}", "", "| | claim | here | figure | spread | how far they compare |",
                  "|---|---|---|---|---|---|"]
        for claim in claims:
            row = figures.get(claim.id, {})
            lines.append(f"| {claim.id} | {claim.paper} | {claim.ours} | {row.get('figure', '–')} | "
                         f"{row.get('spread', '')} | {claim.word} |")
        lines.append("")
    lines += ["## Commands", "", "| | command | data | runs | machine |", "|---|---|---|---|---|"]
    for claim in (claim for claims in CLAIMS.values() for claim in claims):
        if row := figures.get(claim.id):
            lines.append(f"| {claim.id} | `{row.get('command', '')}` | {row.get('data', '')} | {row.get('runs', '')} | "
                         f"{row.get('machine', '')} |")
    return "\n".join(lines) + "\n"


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    store = RESULTS / "papers.json"
    figures = json.loads(store.read_text()) if store.exists() else {}
    wanted = [] if options.page_only else options.only.split(",")
    if unknown := set(wanted) - set(MEASURED):
        sys.exit(f"run.py: --only takes {', '.join(MEASURED)}, not {', '.join(sorted(unknown))}")
    if set(wanted) - {"S3"} and not (options.model and options.prompts):
        sys.exit("run.py: --model and --prompts are needed for all but S3")
    where = machine.sentence(machine.description())
    for name in wanted:
        for row, figure in MEASURED[name](options).items():
            figures[row] = {**figure, "machine": where}
    for name, read in RECORDED.items():
        if (RESULTS / name).exists():
            recorded = json.loads((RESULTS / name).read_text())
            for row, figure in read(recorded).items():
                figures[row] = {**figure, "machine": machine.sentence(recorded["machine"])}
    store.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "papers.md").write_text(page(figures))
    print(RESULTS / "papers.md")


if __name__ == "__main__":
    main()
