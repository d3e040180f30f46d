"""llama-server with a model, on 127.0.0.1: start, wait until it answers, stop. Standard library only."""

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

SLOTS = 32
SLOT_TOKENS = 2048  # context of each


class LlamaServer:
    """A context manager; `flags()` are those that serve many streams best of what its help offers."""

    def __init__(self, binary, model, threads, timeout_s=120):
        self.port = _free_port()
        self._log = tempfile.TemporaryFile("w+")
        self._timeout_s = timeout_s
        self.process = subprocess.Popen(
            [str(binary), "-m", str(model), "-t", str(threads), "--host", "127.0.0.1", "--port", str(self.port),
             *self.flags()], stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT)

    @staticmethod
    def flags():
        # No prompt comes twice, so that a cache of prompts could only cost.
        return ["-np", str(SLOTS), "-c", str(SLOTS * SLOT_TOKENS), "--cont-batching", "-fa", "on", "--cache-ram", "0"]

    def __enter__(self):
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait()
        self._log.close()

    def _wait_ready(self):
        end = time.monotonic() + self._timeout_s
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self._log.seek(0)
                raise RuntimeError(f"llama-server did not become ready; its log:\n{self._log.read()[-2000:]}")
            time.sleep(0.1)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
