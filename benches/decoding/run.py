#!/usr/bin/env python3
"""The decoding methods side by side on real prompts, and `auto` against the best of them.

    benches/decoding/run.py --model F.gguf --prompts dev.jsonl [--recycle DIR] [--draft PATH] [--markdown page.md]
        [--json rows.jsonl] [--streams 1,2,4,8,16,32,64] [--temperatures 0,0.7] [--pairs 7] [--limit 24] [--nice -20]

For every setting the best fixed method is chosen on one half of the prompts; `auto` is then compared with it, and with
plain decoding, on the other half, in interleaved rounds. A ratio is the median over rounds, with the 95 % interval of
a bootstrap over them. Prompts are cached before anything is timed, all but their last block, so that rates are those
of decoding.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

BENCHES = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BENCHES)]

import machine  # noqa: E402
from chart import Chart  # noqa: E402

AUTO_BAR = 0.98     # of the best fixed method, or 1 within the interval
PLAIN_BAR = 1.3     # auto over plain at one stream, all categories mixed
UNVERIFIED_BAR = 1.4
OVERHEAD_BAR = 0.99  # of plain decoding with everything loaded, over plain decoding alone
RATE = "tokens_per_second"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--recycle", type=pathlib.Path)
    parser.add_argument("--draft", type=pathlib.Path)
    parser.add_argument("--prompts", required=True, type=pathlib.Path, help="JSON lines with category and turns")
    parser.add_argument("--build", default=machine.ROOT / "build/release", type=pathlib.Path)
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--streams", default="1,2,4,8,16,32,64")
    parser.add_argument("--category-streams", default="1,8", help="empty: no single categories")
    parser.add_argument("--temperatures", default="0,0.7", help="0.7s: seeded")
    parser.add_argument("--pairs", default=7, type=int, help="rounds of each comparison")
    parser.add_argument("--limit", default=24, type=int, help="prompts of each half")
    parser.add_argument("--max-tokens", default=64, type=int)
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    parser.add_argument("--json", type=pathlib.Path, help="append one row a run to this file")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the result as a page")
    parser.add_argument("--state", type=pathlib.Path,
                        help="keep what has been measured in this file: a run that was cut goes on where it was")
    parser.add_argument("--page-only", action="store_true", help="measure nothing: the page of what --state has")
    return parser.parse_args()


def fixed_methods(options):
    methods = ["plain", "lookup:2", "lookup:4", "lookup:8"]
    if options.recycle:
        methods += ["recycle:1", "recycle:2"]
    if options.draft:
        methods += ["draft:2", "draft:4"]
    return methods


def run_binary(options, setting, methods, half, rounds, loaded=True):
    """Rows of one process; the first is the profile. Not `loaded`: without module and draft."""
    category, streams, temperature = setting
    command = [options.build / "benches/decoding/bench_decoding", "--model", options.model, "--prompts",
               options.prompts, "--methods", ",".join(methods), "--streams", streams, "--categories", category,
               "--half", half, "--rounds", rounds, "--limit", max(options.limit, streams), "--max-tokens",
               options.max_tokens, "--temperature", temperature.rstrip("s"), "--seeded",
               int(temperature.endswith("s")), "--threads", options.threads]
    for name in ("recycle", "draft"):
        if loaded and getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if options.json:
        with options.json.open("a") as file:
            file.writelines(json.dumps({**row, "half": half}) + "\n" for row in rows)
    return rows[0], rows[1:]


def rates(rows, method):
    return [row[RATE] for row in sorted(rows, key=lambda row: row["round"]) if row["method"] == method]


def ratio(rows, method, other):
    """Median and 95 % interval of method / other over rounds."""
    ratios = [a / b for a, b in zip(rates(rows, method), rates(rows, other))]
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[50], medians[1949]


def total(rows, method, field):
    return sum(row[field] for row in rows if row["method"] == method)


def acceptance(rows, method):
    """Share of drafts whose first, second, ... token stood, of those long enough."""
    histogram = [sum(row["acceptance_histogram"][k] for row in rows if row["method"] == method) for k in range(17)]
    return [sum(histogram[k:]) / sum(histogram) for k in range(1, 5)] if sum(histogram) else []


def measure(options, setting):
    fixed = fixed_methods(options)
    _, choice = run_binary(options, setting, fixed, 0, 2)
    best = max(fixed, key=lambda method: statistics.median(rates(choice, method)))
    methods = list(dict.fromkeys(["plain", best, "auto"]))
    if setting[1] == 1 and options.recycle:
        methods.append("unverified:1")
    profile, rows = run_binary(options, setting, methods, 1, options.pairs)
    result = {"setting": setting, "best": best, "choice": choice, "rows": rows, "profile": profile,
              "commit": machine.description()["commit"], "against_best": ratio(rows, "auto", best),
              "against_plain": ratio(rows, "auto", "plain")}
    if "unverified:1" in methods:
        result["unverified"] = ratio(rows, "unverified:1", "plain")
    category, streams, temperature = setting
    print(f"{category:16} {streams:3} streams, T {temperature:4}: best {best:10} auto/best "
          f"{result['against_best'][0]:.3f}, auto/plain {result['against_plain'][0]:.3f}", flush=True)
    return result


def measure_overhead(options):
    """Plain decoding with module and draft loaded over plain decoding without, at one stream, in turns."""
    setting = ("all", 1, options.temperatures.split(",")[0])
    rows = []
    for number in range(options.pairs):
        for loaded in ((True, False) if number % 2 else (False, True)):
            _, own = run_binary(options, setting, ["plain"], 1, 1, loaded)
            rows += [{**row, "round": number, "method": "loaded" if loaded else "alone"} for row in own]
    result = ratio(rows, "loaded", "alone")
    print(f"plain with module and draft loaded over plain alone: {result[0]:.3f}", flush=True)
    return result


def interval(value):
    return f"{value[0]:.2f} ({value[1]:.2f} … {value[2]:.2f})"


def holds(result):
    median, _, high = result["against_best"]
    return median >= AUTO_BAR or high >= 1.0


def comparison_table(results):
    lines = ["| prompts | streams | T | best fixed method | auto / best | auto / plain | auto: tokens a pass | "
             "plain, tokens/s | auto, tokens/s | commit |", "|---|---:|---|---|---|---|---:|---:|---:|---|"]
    for result in results:
        category, streams, temperature = result["setting"]
        rows = result["rows"]
        per_pass = statistics.median(row["tokens_per_pass"] for row in rows if row["method"] == "auto")
        lines.append(f"| {category} | {streams} | {temperature.replace('s', ', seeded')} | {result['best']} | "
                     f"{interval(result['against_best'])}{'' if holds(result) else ' **below the bar**'} | "
                     f"{interval(result['against_plain'])} | {per_pass:.2f} | "
                     f"{statistics.median(rates(rows, 'plain')):.0f} | {statistics.median(rates(rows, 'auto')):.0f} | "
                     f"{result['commit']} |")
    return lines


def method_table(results):
    lines = ["| prompts | streams | T | method | tokens/s over plain | tokens a pass | stood: 1st, 2nd, 3rd, 4th |",
             "|---|---:|---|---|---:|---:|---|"]
    for result in results:
        category, streams, temperature = result["setting"]
        choice = result["choice"]
        plain = statistics.median(rates(choice, "plain"))
        for method in dict.fromkeys(row["method"] for row in choice):
            share = ", ".join(f"{value:.2f}" for value in acceptance(choice, method))
            per_pass = statistics.median(row["tokens_per_pass"] for row in choice if row["method"] == method)
            lines.append(f"| {category} | {streams} | {temperature.replace('s', ', seeded')} | {method} | "
                         f"{statistics.median(rates(choice, method)) / plain:.2f} | {per_pass:.2f} | {share} |")
    return lines


def plot(results, path):
    """auto and the best fixed method over plain, by streams: mixed prompts, first temperature."""
    chosen = [r for r in results if r["setting"][0] == "all" and r["setting"][2] == results[0]["setting"][2]]
    auto = [r["against_plain"][0] for r in chosen]
    chart = Chart([str(r["setting"][1]) for r in chosen], max(*auto, 1.0) * 1.15, "streams", "tokens/s over plain")
    chart.line("auto", "#0b6", auto)
    chart.line("best fixed method", "#c60", [r["against_plain"][0] / r["against_best"][0] for r in chosen])
    chart.save(path)


def profile_lines(profile):
    v = ", ".join(f"v{n} {value:.2f}" for n, value in profile["v"].items())
    lines = [f"A pass over one token took {profile['pass_ms']:.2f} ms at start; over n tokens, in that unit: {v}."]
    for name, curve in profile.get("c", {}).items():
        costs = ", ".join(f"{value:.3f} for {n}" for n, value in curve.items())
        lines.append(f"A pass of `{name}` over so many tokens costs: {costs}.")
    return lines


def write_page(options, results, overhead, description, missing):
    figure = options.markdown.with_suffix(".svg")
    plot(results, figure)
    command = " ".join(["benches/decoding/run.py", "--model", options.model.name, "--prompts", options.prompts.name]
                       + [item for name in ("recycle", "draft") if getattr(options, name)
                          for item in (f"--{name}", getattr(options, name).name)]
                       + ["--pairs", str(options.pairs), "--limit", str(options.limit), "--max-tokens",
                          str(options.max_tokens)])
    mixed = [r for r in results if list(r["setting"][:2]) == ["all", 1]]
    verdicts = [f"- `auto` is at least {AUTO_BAR} of the best fixed method, or 1 lies within the interval, in "
                f"{sum(map(holds, results))} of {len(results)} settings."]
    if overhead:
        verdicts.append(f"- Plain decoding with module and draft loaded over plain decoding without them: "
                        f"{overhead[0]:.3f} ({overhead[1]:.3f} … {overhead[2]:.3f}; bar {OVERHEAD_BAR}).")
    for result in mixed:
        median = result["against_plain"][0]
        verdicts.append(f"- `auto` over plain at one stream, mixed prompts, T {result['setting'][2]}: {median:.2f} "
                        f"(bar {PLAIN_BAR}{'' if median >= PLAIN_BAR else ', not reached'}).")
        if "unverified" in result:
            median = result["unverified"][0]
            verdicts.append(f"- Unverified recycling (lenience 0) over plain, the same: {interval(result['unverified'])}"
                            f" (bar {UNVERIFIED_BAR}{'' if median >= UNVERIFIED_BAR else ', not reached'}).")
    if missing:
        names = ", ".join(f"{category} at {streams}, T {temperature}" for category, streams, temperature in missing)
        verdicts.append(f"- Not measured (prompts at streams): {names}.")
    page = ["# Decoding methods, measured", "", f"Made by `./dev bench decoding`: `{command}`.",
            f"{machine.sentence(description)} (or the commit beside the figure); {options.threads} threads.", "",
            __doc__.split("\n\n", 2)[2].strip(), "", *verdicts, "", f"![auto over plain by streams]({figure.name})", "",
            "## What the machine makes of it", "", *profile_lines(results[0]["profile"]), "",
            "## auto against the best fixed method", "", *comparison_table(results), "",
            "## Every fixed method", "", "On the half of the prompts that the best was chosen on.", "",
            *method_table(results), ""]
    options.markdown.write_text("\n".join(page))


def settings(options):
    for temperature in options.temperatures.split(","):
        for streams in options.streams.split(","):
            yield "all", int(streams), temperature
    categories = {}
    for line in options.prompts.read_text().splitlines():
        category = json.loads(line).get("category", "")
        categories[category] = categories.get(category, 0) + 1
    for category, count in categories.items():
        for streams in filter(None, options.category_streams.split(",")):
            for temperature in options.temperatures.split(","):
                if count >= 40 and not temperature.endswith("s"):
                    yield category, int(streams), temperature


class State:
    """What has been measured, as a JSON object in a file; without a file, in memory."""

    def __init__(self, path):
        self._path = path
        self._done = json.loads(path.read_text()) if path and path.exists() else {}

    def __contains__(self, key):
        return key in self._done

    def get(self, key, measure):
        if key not in self._done:
            self._done[key] = measure()
            if self._path:
                self._path.write_text(json.dumps(self._done))
        return self._done[key]


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    state = State(options.state)
    description = state.get("machine", machine.description)
    overhead = None
    if options.recycle or options.draft:
        overhead = state.get("overhead", lambda: measure_overhead(options))
    results = [state.get(repr(setting), lambda: measure(options, setting)) for setting in settings(options)
               if not options.page_only or repr(setting) in state]
    if options.markdown:
        missing = [setting for setting in settings(options) if options.page_only and repr(setting) not in state]
        write_page(options, results, overhead, description, missing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
