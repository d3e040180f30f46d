"""What the runs that train something share: commands, and a target's own text with its hidden states.

A step whose output is there is skipped, so a run that was stopped goes on when its command is repeated.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "train"), str(ROOT / "benches")]

from daemon import Daemon  # noqa: E402

EMBEDDED = ROOT / "assets/base"


def run(*command):
    print("+", *command, file=sys.stderr, flush=True)
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT / "train")


def tag(temperature):
    """Of one temperature, or of several that take turns."""
    return "-".join(map(str, temperature)) if isinstance(temperature, tuple) else str(temperature)


def train_command(name, *flags):
    run(sys.executable, "-m", f"reprise_train.{name}", *flags)


def publish(result, out):
    """Prints the figures as JSON, and writes them to `out` unless that is None."""
    text = json.dumps(result, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")


class Workshop:
    """A folder for all that is made on the way to a result, and the target that writes the text."""

    def __init__(self, folder, build, target):
        self.folder, self.build, self.target = folder, build, target
        folder.mkdir(parents=True, exist_ok=True)

    def prompts(self, name):
        return self.folder / f"prompts-{name}.jsonl"

    def answers(self, name, temperature):
        return self.folder / f"answers-{name}-{tag(temperature)}.jsonl"

    def states(self, name, temperature):
        return self.folder / f"states-{name}-{tag(temperature)}"

    def write_states(self, sets, max_tokens, limits):
        """The target's answers to prompts(name) at a temperature (a tuple: prompts take turns), and its hidden states,
        for each of `sets`.

        `limits` has the number of answer tokens after which a set is large enough; others are answered in full.
        """
        missing = [(name, temperature) for name, temperature in sets if not self.states(name, temperature).exists()]
        if not missing:
            return
        flags = ("--model", self.target, "--max-num-seqs", 32, "--threads", 1)
        with Daemon(self.build / "reprise", *flags) as daemon:
            for name, temperature in missing:
                limit = ("--total-tokens", limits[name]) if name in limits else ()
                train_command("generate", "--url", f"http://{daemon.host}:{daemon.port}", "--prompts",
                              self.prompts(name), "--out", self.answers(name, temperature), "--temperatures",
                              *tag(temperature).split("-"), "--max-tokens", max_tokens, *limit)
        for name, temperature in missing:
            run(self.build / "reprise", "extract", "--model", self.target, "--tokens",
                self.answers(name, temperature), "--out", self.states(name, temperature))

    def trained(self, command, name, result, *flags):
        """run-NAME/`result`, made by a training command unless it is there."""
        folder = self.folder / f"run-{name}"
        if not (folder / result).exists():
            resume = ["--resume"] if (folder / "checkpoint.pt").exists() else []
            train_command(command, "--out", folder, *flags, *resume)
        return folder / result
