"""Lets a running Reprise daemon answer prompts: the self-generated text that modules and drafts train on.

    python -m reprise_train.generate --url http://127.0.0.1:8000 --prompts prompts.jsonl --out answers.jsonl

Each input line is {"id", "prompt"} or {"id", "turns"} (several turns become one conversation, answered in
turn). Each output line is {"id", "turn", "temperature", "seed", "prompt": [token ids], "answer": [ids],
"finish"}: the ids that the target read and wrote, its end token included, so nothing is tokenised twice.
Temperatures go round: prompt i gets the i-th of the list, modulo its length. A killed run goes on where it
was when the command is repeated; a line is written whole or not at all.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from reprise_train.cli import command_parser, exit_on_error
from reprise_train.errors import TrainError, UsageError
from reprise_train.report import show_progress


@dataclass(frozen=True)
class Task:
    """One prompt to answer."""

    id: str
    turns: tuple[str, ...]
    temperature: float
    seed: int


class Client:
    """Blocking calls to one daemon; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Raises UsageError for anything but http://host:port."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"--url wants http://host:port, not '{url}'")
        self._host, self._port = parts.hostname, parts.port or 80

    def post(self, path: str, body: dict) -> dict:
        """The reply's JSON. Raises TrainError with the daemon's own words when it refuses."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=600)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            content = json.loads(reply.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise TrainError(f"http://{self._host}:{self._port}{path}: {error}") from None
        finally:
            connection.close()
        if reply.status != 200:
            raise TrainError(f"{path}: {content.get('error', {}).get('message', reply.reason)}")
        return content


def answer(client: Client, task: Task, max_tokens: int) -> list[dict]:
    """One record a turn, up to the first whose prompt leaves no room for an answer."""
    messages: list[dict] = []
    records = []
    for turn, text in enumerate(task.turns):
        messages.append({"role": "user", "content": text})
        tokenized = client.post("/tokenize", {"messages": messages, "add_generation_prompt": True})
        prompt = tokenized["tokens"]
        room = tokenized["max_model_len"] - len(prompt)
        if room < 1:
            break
        request = {
            "prompt": prompt,
            "max_tokens": min(max_tokens, room),
            "temperature": task.temperature,
            "top_p": 1.0,
            "seed": task.seed,
            "return_token_ids": True,
        }
        choice = client.post("/v1/completions", request)["choices"][0]
        messages.append({"role": "assistant", "content": choice["text"]})
        records.append(
            {
                "id": task.id,
                "turn": turn,
                "temperature": task.temperature,
                "seed": task.seed,
                "prompt": prompt,
                "answer": choice["token_ids"],
                "finish": choice["finish_reason"],
            }
        )
    return records


def read_tasks(path: Path, temperatures: list[float], seed: int, max_turns: int) -> list[Task]:
    """Raises TrainError naming a line that holds no prompt."""
    tasks = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        try:
            record = json.loads(line)
            turns = record["turns"][:max_turns] if "turns" in record else [record["prompt"]]
            name = str(record.get("id", number))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TrainError(f"{path}:{number + 1}: not a JSON object with 'prompt' or 'turns'") from None
        tasks.append(Task(name, tuple(turns), temperatures[number % len(temperatures)], seed + number))
    if not tasks:
        raise TrainError(f"{path} holds no prompts")
    return tasks


def answered(path: Path) -> set[str]:
    """Ids of tasks already in the output; a last line cut short by a kill is removed from the file."""
    if not path.exists():
        return set()
    whole, done = [], set()
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            done.add(json.loads(line)["id"])
        except (ValueError, KeyError):
            break
        whole.append(line + "\n")
    path.write_text("".join(whole), encoding="utf-8")
    return done


class Run:
    """Answers tasks on several streams, appends to the output as answers come, stops at a token budget."""

    def __init__(self, client: Client, path: Path, max_tokens: int, budget: int) -> None:
        self._client, self._path, self._max_tokens, self._budget = client, path, max_tokens, budget
        self._lock = threading.Lock()
        self._started = time.time()
        self._error: TrainError | None = None
        self.answers = self.tokens = self.too_long = 0

    def work(self, task: Task) -> None:
        if self._error or self.tokens >= self._budget:
            return
        try:
            records = answer(self._client, task, self._max_tokens)
        except TrainError as error:
            self._error = error
            return
        if len(records) < len(task.turns):
            self.too_long += 1
        with self._lock, open(self._path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(record) + "\n" for record in records))
            self.answers += len(records)
            self.tokens += sum(len(record["answer"]) for record in records)
            if self.answers % 50 == 0:
                speed = self.tokens / (time.time() - self._started)
                show_progress(f"{self.answers} answers, {self.tokens} tokens, {speed:.0f} tokens/s")

    def all(self, tasks: list[Task], streams: int) -> None:
        """Raises TrainError with the first thing that went wrong; what was answered stays written."""
        with ThreadPoolExecutor(streams) as pool:
            list(pool.map(self.work, tasks))
        if self._error:
            raise self._error


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser(
        "python -m reprise_train.generate", "Let a running daemon answer prompts; keep the token ids."
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="the daemon")
    add("--prompts", type=Path, required=True, metavar="FILE.jsonl")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.jsonl",
        help="appended to; answered prompts are skipped",
    )
    add("--streams", type=int, default=32, help="requests in flight")
    add("--temperatures", type=float, nargs="+", default=[0.0, 0.7, 1.0], help="in turn, prompt by prompt")
    add("--max-tokens", type=int, default=256, help="of one answer")
    add("--max-turns", type=int, default=2, help="of one conversation")
    add("--total-tokens", type=int, default=1 << 40, help="stop asking after so many answer tokens")
    add("--seed", type=int, default=1, help="of the first prompt; the next has the next seed")
    options = parser.parse_args(arguments)
    for name in ("streams", "max_tokens", "max_turns", "total_tokens"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1")
    tasks = read_tasks(options.prompts, options.temperatures, options.seed, options.max_turns)
    done = answered(options.out)
    run = Run(Client(options.url), options.out, options.max_tokens, options.total_tokens)
    run.all([task for task in tasks if task.id not in done], options.streams)
    print(
        f"{options.out}: {run.answers} answers, {run.tokens} tokens, {run.too_long} conversations too long",
        file=sys.stderr,
    )


if __name__ == "__main__":
    exit_on_error(main)
