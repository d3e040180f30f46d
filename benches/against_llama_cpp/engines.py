"""The two engines: each measures one workload in a process of its own and gives tokens per second.

Both run the workload once to warm up, then `REPEATS` times, and the best counts.
"""

import json
import os
import subprocess

REPEATS = 2
STEP_ROWS = (1, 2, 3, 4, 5, 6, 7, 8)
LARGE_STEP = 64  # rows: arithmetic, not memory, decides what it takes


class Reprise:
    def __init__(self, binary, model, threads, isa=""):
        self._command = [str(binary), "bench", "--model", str(model), "--threads", str(threads), "--json",
                         "--decoding", "plain", "--repeats", str(REPEATS)]
        self._environment = {**os.environ, **({"REPRISE_ISA": isa} if isa else {})}

    def measure(self, workload):
        """Tokens per second, and the rest of the row."""
        (row,) = self._bench(workload.prompt, max(2, workload.generate), [workload.streams])
        return row["decode_tokens_per_s" if workload.generate else "prefill_tokens_per_s"], row

    def measure_steps(self):
        """{rows: milliseconds} of steps that each decode that many streams."""
        levels = [*STEP_ROWS, LARGE_STEP]
        rows = self._bench(8, 64, levels)
        return {str(row["concurrency"]): row["ms_per_step"] for row in rows}

    def _bench(self, prompt, generate, levels):
        output = _run([*self._command, "--prompt-tokens", str(prompt), "--gen-tokens", str(generate), "--concurrency",
                       ",".join(map(str, levels))], self._environment)
        return [json.loads(line) for line in output.splitlines()]


class LlamaCpp:
    def __init__(self, programs, model, threads):
        self.file = model.name
        self._programs, self._model, self._threads = programs, model, threads

    def measure(self, workload, flags):
        """Tokens per second."""
        common = ["-m", str(self._model), "-t", str(self._threads), *flags]
        if workload.streams > 1:
            return self._measure_streams(workload, common)
        length = ["-p", "0", "-n", str(workload.generate), "-d", str(workload.prompt)]
        if not workload.generate:
            length = ["-p", str(workload.prompt), "-n", "0"]
        (test,) = json.loads(_run([str(self._programs / "llama-bench"), *common, *length, "-r", str(REPEATS), "-o",
                                   "json"]))
        return max(test["samples_ts"])

    def _measure_streams(self, workload, common):
        # The row of the first run is the warm-up.
        runs = ",".join([str(workload.streams)] * (1 + REPEATS))
        context = workload.streams * (workload.prompt + workload.generate)
        output = _run([str(self._programs / "llama-batched-bench"), *common, "-c", str(context), "-npp",
                       str(workload.prompt), "-ntg", str(workload.generate), "-npl", runs, "--output-format", "jsonl"])
        rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")][1:]
        return max(row["speed_tg"] for row in rows)

    def try_settings(self, workload):
        """{flags: tokens per second} of what its users would try: flash attention, one cache for all streams."""
        candidates = [["-fa", "on"], ["-fa", "off"]]
        if workload.streams > 1:
            candidates += [[*flags, "-kvu"] for flags in candidates]
        return {" ".join(flags): self.measure(workload, flags) for flags in candidates}


def _run(command, environment=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout
