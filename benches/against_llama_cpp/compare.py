#!/usr/bin/env python3
"""Speed of reprise beside llama.cpp: the same GGUF files, the same threads, the runs interleaved on one machine.

    benches/against_llama_cpp/compare.py --model F.gguf [--only q4_0,bf16] [--pairs 5] [--minutes 15] [--nice -20]
    benches/against_llama_cpp/compare.py --page-only

What is compared is the table in workloads.py. A pair is one run of each engine, one after the other; one that other
processes disturbed is measured again. Rows go to cpu.jsonl in --results, and a run measures what they lack for this
machine, so that one that was cut goes on; cpu.md and cpu.svg there are made of all rows, a section a machine. Without
--llama-cpp-bin (or $LLAMA_CPP_BIN) llama.cpp is fetched and built below $XDG_CACHE_HOME/reprise. Exit code 1 when a
figure of this machine is below its bar.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import llama_cpp  # noqa: E402
import machine  # noqa: E402
import page  # noqa: E402
from engines import LlamaCpp, Reprise  # noqa: E402
from rows import Rows, declare_flags, machine_key  # noqa: E402
from workloads import SUBJECTS  # noqa: E402

ATTEMPTS = 4  # at one pair


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="GGUF file of 4 bits that others are made of")
    parser.add_argument("--build", default=machine.ROOT / "build/release", type=pathlib.Path, help="folder with reprise")
    llama_cpp.declare_flags(parser)
    parser.add_argument("--only", default=",".join(subject.name for subject in SUBJECTS),
                        help="which of these to measure (default: %(default)s)")
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--pairs", default=5, type=int, help="of each workload; large models get three at most")
    parser.add_argument("--nice", default=0, type=int, help="priority of all that is measured, e.g. -20 (needs root)")
    parser.add_argument("--max-others", type=float,
                        help="share of the cores that other processes may use during a run (default 0.1; with --nice "
                             "1, as they only get what the engines leave)")
    declare_flags(parser)
    options = parser.parse_args()
    if options.max_others is None:
        options.max_others = 1.0 if options.nice else 0.1
    if not options.page_only and not options.model:
        parser.error("--model is missing")
    if unknown := set(options.only.split(",")) - {subject.name for subject in SUBJECTS}:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return options


class Comparison:
    """Adds to the rows what they lack for this machine."""

    def __init__(self, options, rows):
        self._options, self._rows = options, rows
        self._end = time.monotonic() + 60 * options.minutes
        self.here = machine_key(options.threads)
        self._fields = {**machine.description(), **self.here}

    def measure(self, subjects):
        programs = llama_cpp.programs(self._options)
        files = {subject: subject.file.path(self._options.model, programs) for subject in subjects}
        for subject, file in files.items():
            ours = Reprise(self._options.build / "reprise", file, self._options.threads, subject.isa)
            theirs = LlamaCpp(programs, file, self._options.threads)
            for case in subject.cases:
                self._measure_case(subject, case.workload, theirs, ours)
            if subject.step_rows:
                self._measure_steps(subject, ours)

    def _lacks(self, count, key):
        return len(self._rows.select(**self.here, **key)) < count and time.monotonic() < self._end

    def _measure_case(self, subject, workload, theirs, ours):
        key = {"subject": subject.name, "workload": workload.name}
        if self._lacks(1, {"kind": "settings", **key}):
            self._add({"kind": "settings", **key, "tried": theirs.try_settings(workload)})
        while self._lacks(self._pairs(subject), {"kind": "pair", **key}):
            tried = self._rows.select(**self.here, kind="settings", **key)[-1]["tried"]
            flags = max(tried, key=tried.get)
            self._add({"kind": "pair", **key, "settings": flags, "file": theirs.file,
                       **self._quietest(lambda: measure_pair(workload, theirs, ours, flags.split()))})

    def _measure_steps(self, subject, ours):
        key = {"kind": "steps", "subject": subject.name}
        while self._lacks(self._pairs(subject), key):
            self._add({**key, **self._quietest(lambda: {"ms": ours.measure_steps()})})

    def _pairs(self, subject):
        return min(self._options.pairs, subject.most_pairs)

    def _quietest(self, measure):
        """The result and `others`, their share of the cores: of the first attempt below the limit, or of the best."""
        attempts = []
        for _ in range(ATTEMPTS):
            machine.wait_until_quiet(self._options.max_others, timeout_s=20)
            with machine.Disturbance() as others:
                result = measure()
            attempts.append({**result, "others": round(others.share, 3)})
            if others.share <= self._options.max_others:
                break
        return min(attempts, key=lambda attempt: attempt["others"])

    def _add(self, row):
        row = {**row, **self._fields}
        self._rows.add(row)
        shown = {name: row[name] for name in ("theirs", "ours", "ms", "tried", "others") if name in row}
        print(row["subject"], row.get("workload", "steps"), shown, flush=True)


def measure_pair(workload, theirs, ours, flags):
    their_speed = theirs.measure(workload, flags)
    our_speed, row = ours.measure(workload)
    return {"theirs": round(their_speed, 1), "ours": round(our_speed, 1), "backend": row["backend"],
            "weights_gb_per_s": row["weights_gb_per_s"], "bandwidth_gb_per_s": row["bandwidth_gb_per_s"]}


def main():
    options = parse_arguments()
    machine.at_priority(options.nice)
    rows = Rows(options.results / "cpu.jsonl")
    comparison = Comparison(options, rows)
    if options.fresh:
        rows.drop(**comparison.here)
    if not options.page_only:
        comparison.measure([subject for subject in SUBJECTS if subject.name in options.only.split(",")])
    page.write(rows, options.results)
    return 0 if page.meets_bars(rows, comparison.here) else 1


if __name__ == "__main__":
    sys.exit(main())
