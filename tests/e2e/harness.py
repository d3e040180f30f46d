"""What the end-to-end tests share: where things are, and a test case that owns a daemon."""

import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from daemon import Daemon  # noqa: E402

BUILD = pathlib.Path(os.environ.get("REPRISE_BUILD", ROOT / "build/release"))
BINARY = BUILD / "reprise"
SHARED = pathlib.Path(os.environ.get("REPRISE_SHARED", ROOT.parent / "shared"))

# Random weights, 272 tokens, 128 positions, a chat template: starts in milliseconds.
TINY = ROOT / "tests/data/models/llama2"
# The default model of `serve`: long enough texts to interrupt.
EMBEDDED = pathlib.Path(os.environ.get("REPRISE_ASSETS", ROOT / "assets")) / "base"
SMOLLM2 = SHARED / "models/SmolLM2-135M-Instruct.Q4_1.gguf"

SKIPPED = 77
SANITIZER_MARKS = ("Sanitizer", "runtime error:")


def run(*arguments, **environment):
    """`reprise` with these arguments, to its end."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          stdin=subprocess.DEVNULL, env={**os.environ, **environment})


def check_clean(test, daemon):
    """A daemon that has ended: no crash and nothing from a sanitizer."""
    log = daemon.log_text()
    for mark in SANITIZER_MARKS:
        test.assertNotIn(mark, log)


class DaemonTest(unittest.TestCase):
    """One daemon for the tests of a class; at its end it must be idle, hold no block, and drain to exit 0."""

    FLAGS = ("--model", TINY)

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(BINARY, *cls.FLAGS)
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.wait_ready()

    @classmethod
    def tearDownClass(cls):
        test = cls()
        for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
            test.assertEqual(cls.daemon.wait_for_metric(gauge, 0), 0, gauge)
        test.assertEqual(cls.daemon.stop(), 0, cls.daemon.log_text())
        check_clean(test, cls.daemon)

    def runTest(self):
        """Lets tearDownClass make an instance for its assertions."""

    def complete(self, **fields):
        status, _, reply = self.daemon.post("/v1/completions", fields)
        self.assertEqual(status, 200, reply)
        return reply

    def chat(self, **fields):
        status, _, reply = self.daemon.post("/v1/chat/completions", fields)
        self.assertEqual(status, 200, reply)
        return reply


def skip_file(reason):
    """Ends a test file that can do nothing here; CTest shows it as skipped."""
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def main():
    unittest.main(verbosity=2)
