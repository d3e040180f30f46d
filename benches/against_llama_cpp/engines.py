"""The two engines: each measures one workload in a process of its own and gives tokens per second.

Both run the workload once to warm up, then `REPEATS` times, and the best counts.
"""

import dataclasses
import json
import subprocess

REPEATS = 2


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    bar: float  # how many times llama.cpp's speed is wanted
    prompt: int = 0
    generate: int = 0
    streams: int = 1


WORKLOADS = (
    Workload("decode", "decode, 1 stream, 128 tokens", 1.3, prompt=8, generate=128),
    Workload("concurrent", "decode, 8 streams, prompts of 64, 64 tokens each", 2.0, prompt=64, generate=64, streams=8),
    Workload("prefill", "prefill, one prompt of 512", 1.5, prompt=512),
)


class Reprise:
    name = "reprise"

    def __init__(self, binary, model, threads):
        self._command = [str(binary), "bench", "--model", str(model), "--threads", str(threads), "--json",
                         "--decoding", "plain", "--repeats", str(REPEATS)]

    def command(self, workload):
        return [*self._command, "--prompt-tokens", str(workload.prompt), "--gen-tokens",
                str(max(2, workload.generate)), "--concurrency", str(workload.streams)]

    def measure(self, workload):
        """Tokens per second, and the rest of the row."""
        row = json.loads(_run(self.command(workload)))
        return row["decode_tokens_per_s" if workload.generate else "prefill_tokens_per_s"], row


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, folder, model, threads):
        self._folder, self._model, self._threads = folder, model, threads
        self.settings = {}  # workload name: further flags

    def command(self, workload):
        common = ["-m", str(self._model), "-t", str(self._threads), *self.settings.get(workload.name, [])]
        if workload.streams > 1:
            # The row of the first run is the warm-up.
            runs = ",".join([str(workload.streams)] * (1 + REPEATS))
            context = workload.streams * (workload.prompt + workload.generate)
            return [str(self._folder / "llama-batched-bench"), *common, "-c", str(context), "-npp",
                    str(workload.prompt), "-ntg", str(workload.generate), "-npl", runs, "--output-format", "jsonl"]
        # It decodes from an empty context: a little less work than ours.
        prompt = 0 if workload.generate else workload.prompt
        return [str(self._folder / "llama-bench"), *common, "-p", str(prompt), "-n", str(workload.generate), "-r",
                str(REPEATS), "-o", "json"]

    def measure(self, workload):
        output = _run(self.command(workload))
        if workload.streams > 1:
            rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")][1:]
            return max(row["speed_tg"] for row in rows), {}
        (test,) = json.loads(output)
        return max(test["samples_ts"]), {"build": test.get("build_commit")}

    def choose_settings(self, workload):
        """Tries what its users would, and keeps the best: flash attention on and off, one cache for all streams."""
        candidates = [["-fa", "on"], ["-fa", "off"]]
        if workload.streams > 1:
            candidates += [[*flags, "-kvu"] for flags in candidates]
        speeds = {}
        for flags in candidates:
            self.settings[workload.name] = flags
            speeds[" ".join(flags)] = max(self.measure(workload)[0] for _ in range(2))
        self.settings[workload.name] = max(speeds, key=speeds.get).split()
        return speeds


def _run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout
