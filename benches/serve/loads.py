"""The loads that servers are compared under: real prompts, answers as long as a production trace's. Standard library only.

Greedy completions that ignore the end of text, so that every server generates the same number of tokens.
"""

import csv
import dataclasses
import json
import random

MOST_CHARACTERS = 5000  # of a prompt: it fits a slot of llama-server with its answer
MOST_TOKENS = 128       # of an answer; the trace goes to thousands
WARM_UP = 2             # requests that go first


@dataclasses.dataclass(frozen=True)
class Load:
    name: str
    requests: int
    concurrency: int
    rate: float | None = None  # requests a second, Poisson; None: the next one when one has ended


LOADS = (
    Load("1 stream", 6, 1),
    Load("8 streams", 24, 8),
    Load("32 streams", 48, 32),
    Load("Poisson, 1 request/s", 16, 32, 1.0),
    Load("Poisson, 2 requests/s", 24, 32, 2.0),
)


class RequestMaker:
    def __init__(self, prompts, trace):
        """Paths: JSON lines with `turns`, and a CSV with GeneratedTokens."""
        texts = [json.loads(line)["turns"][0] for line in prompts.read_text().splitlines()]
        self._prompts = [text for text in texts if len(text) <= MOST_CHARACTERS]
        with trace.open(newline="") as file:
            self._lengths = [int(row["GeneratedTokens"]) for row in csv.DictReader(file)]

    def write(self, load, seed, path):
        """The load as a file for bench_serve, no prompt twice; a seed makes the same one again."""
        generator = random.Random(f"{load.name} {seed}")
        prompts = generator.sample(self._prompts, WARM_UP + load.requests)
        first = generator.randrange(len(self._lengths) - len(prompts))
        at = 0.0
        with path.open("w") as file:
            for number, prompt in enumerate(prompts):
                # The warm-up is not paced.
                if load.rate and number > WARM_UP:
                    at += generator.expovariate(load.rate)
                length = max(2, min(MOST_TOKENS, self._lengths[first + number]))
                file.write(f"{at:.6f}\t{body(prompt, length)}\n")


def body(prompt, max_tokens):
    return json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True,
                       "stream": True, "stream_options": {"include_usage": True}})
