#!/usr/bin/env python3
"""Breaks the decoding code one line at a time, and counts which breakages the tests catch.

    tools/mutants/run.py [--only NAME] [--begin N] [--jobs N]

Works on a copy of the tracked files under build/mutants, so the tree stays as it is. A mutant is caught when the
tests fail, crash or do not end; one that does not compile is an error of this script. Exit code 1 when any survives.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "build/mutants"
BUILD = "build/release"  # as deep as in every clone, for ccache
TIMEOUT_S = 300


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    line: str  # must occur exactly once
    broken: str
    tests: str = "engine_test"


MUTANTS = [
    Mutant("catch-up feeds the hidden state of the slot itself", "engine/decoding/recycle.cc",
           "static_cast<std::ptrdiff_t>(slot - 1 - state->hidden_begin)",
           "static_cast<std::ptrdiff_t>(slot - state->hidden_begin)"),
    Mutant("the module's next slot is one too far", "engine/decoding/recycle.cc",
           "state->next_slot = end;", "state->next_slot = end + 1;"),
    Mutant("hidden states of rejected rows are kept", "engine/decoding/recycle.cc",
           "std::max(0, static_cast<int>(outcome.accepted[item].tokens.size()) - 1);",
           "scheduled.num_draft_tokens;"),
    Mutant("a prefix hit begins without the last block's state", "engine/decoding/recycle.cc",
           "if (!has_last_hidden_.Noted(last)) return;", "return;"),
    Mutant("the module attends to blocks it never filled", "engine/decoding/recycle.cc",
           "state->first_block = (state->hidden_begin + 1 + block_size_ - 1) / block_size_;",
           "state->first_block = 0;"),
    Mutant("an unverified draft asks for every row", "engine/batch_builder.cc",
           "const int first_row = last_row_only ? end - 1 : chunk_end - item.num_logit_rows;",
           "const int first_row = (last_row_only ? 0 : 0) + chunk_end - item.num_logit_rows;"),
    Mutant("the draft model believes its last token was written", "engine/decoding/draft_model.cc",
           "std::min(num_accepted, num_drafted - 1)", "std::min(num_accepted, num_drafted)"),
    Mutant("the draft model re-reads nothing after a rejection", "engine/decoding/draft_model.cc",
           "const int num_accepted = static_cast<int>(outcome.accepted[i].tokens.size()) - 1;",
           "const int num_accepted = num_drafted;"),
    Mutant("notes about a block outlive its content", "engine/decoding/block_notes.h",
           "return noted_[static_cast<std::size_t>(block)] == pool_.generation(block);",
           "return noted_[static_cast<std::size_t>(block)] != 0;"),
    Mutant("the residual is the target's whole law", "engine/decoding/distribution.cc",
           "if (token < residual_.size()) residual_[token] -= draft.probabilities_[i];",
           "if (token >= residual_.size()) residual_[token] -= draft.probabilities_[i];"),
    Mutant("the residual re-uses the draft's noise", "engine/decoding/verifier.cc",
           "target_.SampleResidual(*draft, stream(NoiseKind::kSample))",
           "target_.SampleResidual(*draft, stream(NoiseKind::kDraft))"),
    Mutant("the coin re-uses the draft's noise", "engine/decoding/verifier.cc",
           "UniformNoise(stream(NoiseKind::kAccept))", "UniformNoise(stream(NoiseKind::kDraft))"),
    Mutant("a token is accepted with p instead of p / q", "engine/decoding/verifier.cc",
           "UniformNoise(stream(NoiseKind::kAccept)) * draft->Probability(drafted) < bound",
           "UniformNoise(stream(NoiseKind::kAccept)) < bound"),
    Mutant("noise is keyed by the row of the draft vocabulary", "engine/decoding/draft_sampler.cc",
           "token = SampleGumbel(logits, 1.0f / params.temperature, stream(NoiseKind::kSample), ids);",
           "token = ids.empty() ? SampleGumbel(logits, 1.0f / params.temperature, stream(NoiseKind::kSample))"
           " : ids[SampleGumbel(logits, 1.0f / params.temperature, stream(NoiseKind::kSample))];"),
    Mutant("verification forgets the drafted prefix for penalties", "engine/decoding/verifier.cc",
           "    penalties.Append(verdict.token);\n", ""),
    Mutant("a rejected draft stays in the penalties", "engine/decoding/draft_sampler.cc",
           "for (const TokenId token : request.draft->tokens) request.penalties->Remove(token);",
           "for (const TokenId token : request.draft->tokens) request.penalties->Append(token);"),
    Mutant("min_tokens counts from the step, not from the row", "engine/decoding/verifier.cc",
           "const int num_generated = sequence.num_generated() + i;",
           "const int num_generated = sequence.num_generated();"),
    Mutant("tokens behind a stop token are kept", "scheduler/commit.cc",
           "if (outcome.finish_reason != FinishReason::kNone) break;", ""),
    Mutant("the last accepted token counts as computed", "scheduler/commit.cc",
           "sequence->num_computed += outcome.num_kept - 1;", "sequence->num_computed += outcome.num_kept;"),
    Mutant("blocks of rejected drafts are not freed", "scheduler/commit.cc",
           "    blocks_.Trim(sequence);\n", "", "scheduler_test"),
    Mutant("a run of misses says nothing", "engine/decoding/acceptance.cc",
           "return std::min(average, 1.0 / (misses_in_a_row_ + 2));", "return average;"),
    Mutant("bursts never come back", "engine/decoding/router.cc",
           "if (++record.steps_off[at] < record.interval[at]) continue;", "continue;"),
    Mutant("drafts are free for the router", "engine/decoding/router.cc",
           "drafting_seconds_ += curve.At(count + 1) - (count > 0 ? curve.At(count) : 0.0);",
           "drafting_seconds_ += 0.0 * (curve.At(count + 1) - (count > 0 ? curve.At(count) : 0.0));"),
]


def run(command, **options):
    environment = {**os.environ, "CCACHE_BASEDIR": str(COPY), "CCACHE_NOHASHDIR": "1"}
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


def tests_fail(name):
    """Why the tests are red, or None."""
    binary = next((COPY / BUILD / "tests").rglob(name), None)
    try:
        done = run([binary], timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        return None
    return "crashes" if done.returncode < 0 else "fails"


def judge(mutant, jobs):
    path = COPY / mutant.file
    original = path.read_text()
    if original.count(mutant.line) != 1:
        sys.exit(f"{mutant.file}: the line of '{mutant.name}' occurs {original.count(mutant.line)} times, not once")
    path.write_text(original.replace(mutant.line, mutant.broken))
    try:
        build([mutant.tests], jobs)
        return tests_fail(mutant.tests)
    finally:
        path.write_text(original)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="mutants whose name contains this")
    parser.add_argument("--begin", type=int, default=1, help="number of the first mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS[options.begin - 1:] if options.only is None or options.only in mutant.name]
    make_copy()
    build({mutant.tests for mutant in chosen}, options.jobs)
    for name in sorted({mutant.tests for mutant in chosen}):
        if tests_fail(name):
            sys.exit(f"{name} is red before anything is broken")
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
