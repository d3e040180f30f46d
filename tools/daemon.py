"""Runs the real daemon from Python: start on free ports, wait until ready, ask, stop. Standard library only."""

import http.client
import json
import re
import signal
import subprocess
import threading
import time

# The one line that `reprise serve` logs when it is ready, as text or as JSON.
READY = re.compile(r'\bready\b.*\bhttps?://([^\s",]+):(\d+).*\bgrpc\W+([^\s",]+):(\d+)')


class Daemon:
    """A `reprise serve` process on 127.0.0.1; a context manager that stops it, whatever happens.

    `tls` is the ssl.SSLContext of its clients, where the flags say that it speaks TLS.
    """

    def __init__(self, binary, *flags, env=None, timeout_s=120, tls=None):
        self.command = [str(binary), "serve", "--port", "0", "--grpc-port", "0", *map(str, flags)]
        self.timeout_s = timeout_s
        self.tls = tls
        self.log = []
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env,
            text=True, errors="replace")
        self._addresses = None
        self._ready_or_gone = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def __enter__(self):
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *unused):
        self.kill()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            match = READY.search(line)
            if match and self._addresses is None:
                self._addresses = match
                self._ready_or_gone.set()
        self._ready_or_gone.set()

    def log_text(self):
        return "\n".join(self.log)

    def wait_ready(self):
        self._ready_or_gone.wait(self.timeout_s)
        if self._addresses is None:
            raise RuntimeError(f"{' '.join(self.command)} did not become ready; its log:\n{self.log_text()}")
        self.host, self.port = self._addresses[1], int(self._addresses[2])
        self.grpc_address = f"{self._addresses[3]}:{self._addresses[4]}"

    def wait_for_log(self, word):
        """Polls until a line of the log has the word."""
        if not wait_until(lambda: any(word in line for line in list(self.log))):
            raise RuntimeError(f"no '{word}' in the log:\n{self.log_text()}")

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=60):
        """The exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        self.process.stderr.close()
        return code

    def stop(self, timeout_s=60):
        """SIGTERM; the exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    # --- HTTP

    def connect(self, timeout_s=120):
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.tls)

    def request(self, method, path, body=None, headers=None):
        """Status, headers, body; a body that is no bytes is sent as JSON, JSON that comes back is decoded."""
        connection = self.connect()
        try:
            send_request(connection, method, path, body, headers)
            response = connection.getresponse()
            data = response.read()
            if response.headers.get_content_type() == "application/json":
                data = json.loads(data)
            return response.status, response.headers, data
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def stream(self, path, body):
        """The events of a streamed reply, decoded, up to [DONE]."""
        connection = self.connect()
        try:
            send_request(connection, "POST", path, {**body, "stream": True})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {response.read()}")
            yield from events(response)
        finally:
            connection.close()

    def metrics(self):
        """{sample with its labels: value}."""
        _, _, text = self.get("/metrics")
        samples = (line.rsplit(" ", 1) for line in text.decode().splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in samples}

    def metric(self, name):
        """The sum of a metric over its labels."""
        return sum(v for sample, v in self.metrics().items() if sample.split("{")[0] == name)

    def wait_for_metric(self, name, value):
        """Polls until the metric has the value; returns the last one seen."""
        wait_until(lambda: self.metric(name) == value)
        return self.metric(name)


def wait_until(condition, timeout_s=60):
    """Polls; whether the condition came true in time."""
    end = time.monotonic() + timeout_s
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


def send_request(connection, method, path, body=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    defaults = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, path, data, {**defaults, **(headers or {})})


def events(response):
    """Server-sent events: every one is a single `data:` line and a blank one, the last of them [DONE]."""
    while True:
        line, blank = response.readline(), response.readline()
        if not line.startswith(b"data: ") or blank not in (b"\n", b"\r\n"):
            raise RuntimeError(f"not an event of the stream: {line!r} {blank!r}")
        payload = line[len(b"data: "):].strip()
        if payload == b"[DONE]":
            return
        yield json.loads(payload)
