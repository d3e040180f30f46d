"""A device that is lost while it serves, on the emulated one: what clients and supervisors see."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import harness
from daemon import Daemon, wait_until

BINARY = harness.BUILD / "reprise_emulated"
LONG = {"prompt": [5] * 10, "max_tokens": 100, "ignore_eos": True, "temperature": 0}


class DeviceFault(unittest.TestCase):
    def start(self, *flags):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.fault_file = pathlib.Path(folder.name) / "fault"
        daemon = Daemon(BINARY, "--model", harness.TINY, "--device", "cuda:0", *flags,
                        env={**os.environ, "REPRISE_EMULATION_FAULT_FILE": str(self.fault_file)})
        self.addCleanup(daemon.kill)
        daemon.wait_ready()
        return daemon

    def lose_device(self, daemon):
        """Breaks the device under a stream; how the stream ended."""
        events = daemon.stream("/v1/completions", LONG)
        next(events)
        self.fault_file.touch()
        return list(events)[-1]

    def test_every_stream_ends_with_an_error_and_health_turns_red(self):
        daemon = self.start()
        self.assertEqual(daemon.get("/health")[0], 200)
        self.assertIn("launch failure", self.lose_device(daemon)["error"]["message"])
        self.assertTrue(wait_until(lambda: daemon.get("/health")[0] == 503))
        self.assertEqual(daemon.get("/live")[0], 200)
        self.assertEqual(daemon.post("/v1/completions", LONG)[0], 503)
        self.assertEqual(daemon.stop(), 0, daemon.log_text())
        harness.check_clean(self, daemon)

    def test_on_request_the_daemon_exits_with_code_1(self):
        daemon = self.start("--exit-on-engine-failure")
        self.assertIn("error", self.lose_device(daemon))
        self.assertEqual(daemon.wait(), 1, daemon.log_text())
        self.assertIn("launch failure", daemon.log_text())
        harness.check_clean(self, daemon)

    def test_too_little_memory_is_one_line_and_code_1(self):
        # Of the emulated device's 4 GiB, what graphs may take is more.
        ended = subprocess.run([BINARY, "generate", "--model", harness.TINY, "--device", "cuda:0", "--prompt", "a",
                                "--gpu-memory-utilization", "0.05"], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertRegex(ended.stderr, r"^reprise: no memory is left for the KV cache\. .*weights.*\n$")

    def test_without_a_failure_that_setting_changes_nothing(self):
        self.assertEqual(self.start("--exit-on-engine-failure").stop(), 0)


if __name__ == "__main__":
    if not BINARY.exists():
        harness.skip_file("this build has no emulated device")
    harness.main()
