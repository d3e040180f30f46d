#!/usr/bin/env python3
"""Breaks the code one line at a time, and counts which breakages the tests catch.

    tools/mutants/run.py [--group decoding|cuda] [--only NAME] [--begin N] [--jobs N]

Works on a copy of the tracked files under build/mutants, so the tree stays as it is. A mutant is caught when the
tests fail, crash or do not end; one that does not compile is an error of this script. Exit code 1 when any survives.
"""

import argparse
import itertools
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import cuda
import decoding

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "build/mutants"
BUILD = "build/release"  # as deep as in every clone, for ccache
CPU_SECONDS = 300  # of a test that would not end; not of time that a busy machine spends elsewhere
TIMEOUT_S = 3600

SCHEDULES = {"forward": {}, "reverse": {"REPRISE_EMULATION_SCHEDULE": "reverse"},
             "deferred": {"REPRISE_EMULATION_STREAMS": "deferred"}}

MUTANTS = {"decoding": decoding.MUTANTS, "cuda": cuda.MUTANTS}


def run(command, schedule="forward", **options):
    environment = {**os.environ, "CCACHE_BASEDIR": str(COPY), "CCACHE_NOHASHDIR": "1", **SCHEDULES[schedule]}
    return subprocess.run(list(map(str, command)), cwd=COPY, env=environment, capture_output=True, text=True, **options)


def make_copy():
    shutil.rmtree(COPY, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source = ROOT / name
        if source.is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, COPY / name)
    done = run(["cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"])
    if done.returncode != 0:
        sys.exit(f"the copy cannot be configured:\n{done.stderr}")


def build(targets, jobs):
    done = run(["cmake", "--build", BUILD, "--parallel", jobs, "--target", *sorted(targets)])
    if done.returncode != 0:
        sys.exit(f"this does not compile:\n{done.stdout[-4000:]}")


def limit_cpu():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 10))


def tests_fail(mutant):
    """Why its tests are red, or None. Those of decoding run first, since they catch most."""
    binary = next((COPY / BUILD / "tests").rglob(mutant.tests), None)
    selections = ["[decoding]", "~[decoding]"]
    if mutant.cases:
        selections = [",".join(f"{name}*" for name in mutant.cases.split(","))]
    for schedule, selection in itertools.product(mutant.schedules, selections):
        try:
            done = run([binary, selection], timeout=TIMEOUT_S, schedule=schedule, preexec_fn=limit_cpu)
        except subprocess.TimeoutExpired:
            return "does not end"
        if done.returncode == -signal.SIGXCPU:
            return "does not end"
        if done.returncode != 0:
            return "crashes" if done.returncode < 0 else "fails"
    return None


def judge(mutant, jobs):
    path = COPY / mutant.file
    original = path.read_text()
    if original.count(mutant.line) != 1:
        sys.exit(f"{mutant.file}: the line of '{mutant.name}' occurs {original.count(mutant.line)} times, not once")
    path.write_text(original.replace(mutant.line, mutant.broken))
    try:
        build([mutant.tests], jobs)
        return tests_fail(mutant)
    finally:
        path.write_text(original)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", choices=MUTANTS, default="decoding")
    parser.add_argument("--only", help="mutants whose name contains this")
    parser.add_argument("--begin", type=int, default=1, help="number of the first mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS[options.group][options.begin - 1:]
              if options.only is None or options.only in mutant.name]
    make_copy()
    build({mutant.tests for mutant in chosen}, options.jobs)
    for mutant in {(mutant.tests, mutant.cases): mutant for mutant in chosen}.values():
        if tests_fail(mutant):
            sys.exit(f"{mutant.tests} is red before anything is broken")
    survivors = []
    for number, mutant in enumerate(chosen, 1):
        start = time.monotonic()
        verdict = judge(mutant, options.jobs)
        if verdict is None:
            survivors.append(mutant.name)
        print(f"{number:2}/{len(chosen)} {verdict or 'SURVIVES':12} {time.monotonic() - start:5.0f} s  {mutant.name}",
              flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
