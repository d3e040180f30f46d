#!/usr/bin/env python3
"""Serves a model, puts streaming requests on it, and says what the client saw and what serving cost.

    benches/serve/run.py --model F.gguf [--build build/release] [--threads 2] [--concurrency 1,8] [--json rows.jsonl]
        [--markdown page.md]

Exit code 1 when, with 8 streams, the threads beside the engine's take more than their share of the CPU time, or when
the daemon holds more memory than weights, KV cache and an allowance.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

BENCHES = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BENCHES), str(BENCHES.parent / "tools")]

import machine  # noqa: E402
from daemon import Daemon  # noqa: E402

SERVING_SHARE_BAR = 0.03  # of the process's CPU time
MEMORY_ALLOWANCE = 150 * 2**20
BAR_CONCURRENCY = 8


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--build", default=machine.ROOT / "build/release", type=pathlib.Path,
                        help="folder with reprise and benches/serve/bench_serve")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--concurrency", default="1,8", help="streams at a time")
    parser.add_argument("--endpoints", default="completions,chat")
    parser.add_argument("--requests", default=8, type=int, help="of each stream")
    parser.add_argument("--prompt-words", default=64, type=int)
    parser.add_argument("--max-tokens", default=64, type=int)
    parser.add_argument("--repeats", default=3, type=int, help="runs of each; the page shows medians")
    parser.add_argument("--kv-cache-mib", default=192, type=int, help="small enough for the load to fill it")
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    parser.add_argument("--json", type=pathlib.Path, help="write one row a run to this file")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the result as a page")
    return parser.parse_args()


def run_client(daemon, options, endpoint, concurrency):
    command = [options.build / "benches/serve/bench_serve", "--port", daemon.port, "--pid", daemon.process.pid,
               "--endpoint", endpoint, "--concurrency", concurrency, "--requests", options.requests,
               "--prompt-words", options.prompt_words, "--max-tokens", options.max_tokens]
    machine.wait_until_quiet(0.1, timeout_s=10)
    done = subprocess.run(list(map(str, command)), cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    if options.json:
        with options.json.open("a") as file:
            file.write(done.stdout)
    return json.loads(done.stdout)


def measure(daemon, options):
    """{(endpoint, concurrency): rows}."""
    settings = [(endpoint, int(streams)) for endpoint in options.endpoints.split(",")
                for streams in options.concurrency.split(",")]
    rows = {setting: [] for setting in settings}
    for _ in range(options.repeats):
        for setting in settings:
            rows[setting].append(run_client(daemon, options, *setting))
            print(json.dumps(rows[setting][-1]), flush=True)
    return rows


def median(rows, field):
    return statistics.median(row[field] for row in rows)


def table(rows):
    lines = ["| endpoint | streams | tokens/s | first token, ms, p50 / p99 | between tokens, ms, p50 / p99 | "
             "CPU time beside the engine's | client's CPU time |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for (endpoint, streams), measured in rows.items():
        lines.append(
            f"| {endpoint} | {streams} | {median(measured, 'tokens_per_s'):.0f} "
            f"| {median(measured, 'ttft_ms_p50'):.1f} / {median(measured, 'ttft_ms_p99'):.1f} "
            f"| {median(measured, 'itl_ms_p50'):.2f} / {median(measured, 'itl_ms_p99'):.2f} "
            f"| {100 * median(measured, 'serving_share'):.1f} % "
            f"| {100 * statistics.median(r['client_cpu_s'] / r['daemon_cpu_s'] for r in measured):.1f} % |")
    return "\n".join(lines)


def memory_parts(rows, options):
    resident = max(row["rss_bytes"] for measured in rows.values() for row in measured)
    weights, cache = options.model.stat().st_size, options.kv_cache_mib * 2**20
    return resident, weights, cache


def page(rows, options, fields):
    resident, weights, cache = memory_parts(rows, options)
    mib = 2**20
    return f"""# The daemon under load

Made by `benches/serve/run.py {shlex.join(sys.argv[1:])}`; do not edit.

Machine: {machine.sentence(fields)}. Model: `{options.model.name}`, {options.threads} compute threads; the client runs on the same cores.
Every stream sends {options.requests} requests, one after the other, on a kept-alive connection: about {options.prompt_words} prompt tokens,
{options.max_tokens} generated, streamed. Medians of {options.repeats} runs.

{table(rows)}

*CPU time beside the engine's*: all threads of the daemon but the engine's own and its compute threads (HTTP, JSON,
tokenizer, text, metrics, gRPC), as a share of the daemon's CPU time; at most {100 * SERVING_SHARE_BAR:.0f} % is wanted with {BAR_CONCURRENCY} streams.
*Client's CPU time* is set beside the daemon's. Time between tokens is taken between events with text; its p99 holds the
prefill of other streams' prompts.

Memory: {resident / mib:.0f} MiB resident at the end; the model file has {weights / mib:.0f} MiB and the KV cache {cache / mib:.0f} MiB, so everything else
takes {(resident - weights - cache) / mib:.0f} MiB (at most {MEMORY_ALLOWANCE / mib:.0f} MiB is wanted).
"""


def meets_bars(rows, options):
    shares = [median(measured, "serving_share") for (_, streams), measured in rows.items()
              if streams == BAR_CONCURRENCY]
    resident, weights, cache = memory_parts(rows, options)
    return max(shares, default=0) <= SERVING_SHARE_BAR and resident <= weights + cache + MEMORY_ALLOWANCE


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    fields = machine.description()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text("")
    with Daemon(options.build / "reprise", "--model", options.model, "--threads", options.threads,
                "--kv-cache-memory", f"{options.kv_cache_mib}MiB") as daemon:
        rows = measure(daemon, options)
        daemon.stop()
    print(table(rows))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(page(rows, options, fields))
    return 0 if meets_bars(rows, options) else 1


if __name__ == "__main__":
    sys.exit(main())
