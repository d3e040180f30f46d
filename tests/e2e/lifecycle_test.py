"""Starting, failing to start, draining and ending."""

import signal
import threading
import unittest

import harness
from daemon import Daemon, wait_until

LONG = {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "temperature": 0}


class Lifecycle(unittest.TestCase):
    def start(self, *flags):
        daemon = Daemon(harness.BINARY, "--model", harness.EMBEDDED, *flags)
        self.addCleanup(daemon.kill)
        daemon.wait_ready()
        return daemon

    def start_stream(self, daemon):
        """A stream that has begun: its events, and the first of them."""
        events = daemon.stream("/v1/completions", LONG)
        return events, next(events)

    def assert_ends(self, daemon, code=0):
        self.assertEqual(daemon.wait(), code, daemon.log_text())
        harness.check_clean(self, daemon)

    def test_sigterm_under_load_lets_everyone_finish_and_takes_nobody_new(self):
        daemon = self.start()
        expected = daemon.post("/v1/completions", LONG)[2]["choices"][0]["text"]
        texts = [None] * 12
        begun = threading.Barrier(len(texts) + 1)

        def read(i):
            events, first = self.start_stream(daemon)
            begun.wait()
            texts[i] = "".join(c["text"] for e in [first, *events] for c in e["choices"])

        clients = [threading.Thread(target=read, args=(i,)) for i in range(len(texts))]
        for client in clients:
            client.start()
        begun.wait()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait_for_log("drain")
        status, headers, body = daemon.post("/v1/completions", {"prompt": "a"})
        self.assertEqual(status, 503, body)
        self.assertIn("Retry-After", headers)
        self.assertEqual(daemon.get("/ready")[0], 503)
        self.assertEqual(daemon.get("/live")[0], 200)
        for client in clients:
            client.join()
        self.assertEqual(texts, [expected] * len(texts))
        self.assert_ends(daemon)

    def test_a_step_without_an_end_turns_health_red_and_back_while_it_lives(self):
        # One step of a hundred tokens on the scalar reference takes far longer than the stall timeout.
        daemon = self.start("--device", "reference", "--stall-timeout", "20ms", "--max-num-batched-tokens", 128)
        body = {"prompt": [5] * 100, "max_tokens": 2, "ignore_eos": True}
        replies = []
        client = threading.Thread(target=lambda: replies.append(daemon.post("/v1/completions", body)))
        client.start()
        self.assertTrue(wait_until(lambda: daemon.get("/health")[0] == 503))
        self.assertEqual(daemon.get("/live")[0], 200)
        daemon.wait_for_log("stalled")
        client.join()
        self.assertEqual(replies[0][0], 200, replies)
        self.assertTrue(wait_until(lambda: daemon.get("/health")[0] == 200))
        self.assertEqual(daemon.stop(), 0)
        harness.check_clean(self, daemon)

    def test_drain_timeout_aborts_what_is_left(self):
        daemon = self.start("--drain-timeout", "0s")
        events, _ = self.start_stream(daemon)
        daemon.send_signal(signal.SIGTERM)
        reasons = [c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]]
        self.assertEqual(reasons, ["abort"])
        self.assert_ends(daemon)

    def test_second_signal_ends_now(self):
        daemon = self.start("--max-num-seqs", 1)
        for _ in range(3):
            threading.Thread(target=lambda: self.ignore_errors(daemon), daemon=True).start()
        daemon.wait_for_metric("vllm:num_requests_running", 1)
        daemon.send_signal(signal.SIGINT)
        daemon.wait_for_log("drain")
        daemon.send_signal(signal.SIGINT)
        self.assert_ends(daemon, 1)

    def ignore_errors(self, daemon):
        try:
            daemon.post("/v1/completions", {**LONG, "n": 16})
        except OSError:
            pass

    def test_idle_daemon_ends_at_once_on_either_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.start()
            daemon.send_signal(number)
            self.assert_ends(daemon)


if __name__ == "__main__":
    harness.main()
