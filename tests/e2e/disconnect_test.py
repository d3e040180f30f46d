"""Clients that vanish: their requests end, and nobody else notices."""

import harness
from daemon import send_request, wait_until

try:
    import grpc
    from reprise.v1 import generation_pb2 as pb
    from reprise.v1 import generation_pb2_grpc
except ImportError:
    grpc = None

CLIENTS = 200
LONG = {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True}


class Disconnect(harness.DaemonTest):
    FLAGS = ("--model", harness.EMBEDDED, "--max-queued-requests", 2 * CLIENTS)

    def setUp(self):
        self.aborted_before = self.aborted()

    def aborted(self):
        return sum(value for sample, value in self.daemon.metrics().items()
                   if sample.startswith("vllm:request_success_total") and 'finished_reason="abort"' in sample)

    def test_http_streams(self):
        expected = self.complete(prompt="a", max_tokens=8, temperature=0)["choices"][0]["text"]
        connections = [self.daemon.connect() for _ in range(CLIENTS)]
        for connection in connections:
            self.addCleanup(connection.close)
            send_request(connection, "POST", "/v1/completions", {**LONG, "stream": True})
        connections[0].getresponse().readline()  # the first of them has text by now; the last may still wait
        for connection in connections:
            connection.close()
        self.assert_aborted()
        self.assertEqual(self.complete(prompt="a", max_tokens=8, temperature=0)["choices"][0]["text"], expected)

    def test_http_requests_that_do_not_stream(self):
        connections = [self.daemon.connect() for _ in range(CLIENTS)]
        for connection in connections:
            self.addCleanup(connection.close)
            send_request(connection, "POST", "/v1/completions", LONG)
        taken = lambda: self.daemon.metric("vllm:num_requests_running")  # noqa: E731
        self.assertTrue(wait_until(lambda: taken() > 0))
        for connection in connections:
            connection.close()
        self.assert_aborted()

    def test_a_bystander_gets_its_whole_text(self):
        body = {**LONG, "max_tokens": 100, "temperature": 1, "seed": 4}
        alone = self.complete(**body)["choices"][0]["text"]
        events = self.daemon.stream("/v1/completions", body)
        text = "".join(choice["text"] for choice in next(events)["choices"])
        connections = [self.daemon.connect() for _ in range(20)]
        for connection in connections:
            send_request(connection, "POST", "/v1/completions", {**LONG, "stream": True})
            connection.close()
        text += "".join(choice["text"] for event in events for choice in event["choices"])
        self.assertEqual(text, alone)
        self.assert_idle()

    def test_grpc_streams(self):
        if grpc is None:
            self.skipTest("this Python has no grpcio (Debian: python3-grpcio)")
        request = pb.GenerateRequest(prompt=LONG["prompt"], options=pb.GenerationOptions(
            max_tokens=LONG["max_tokens"], ignore_eos=True))
        with grpc.insecure_channel(self.daemon.grpc_address) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            calls = [stub.Generate(request) for _ in range(CLIENTS)]
            next(calls[0])
            for call in calls[: CLIENTS // 2]:
                call.cancel()
        # Closing the channel took the connection from the other half.
        self.assert_aborted()

    def test_grpc_deadline(self):
        if grpc is None:
            self.skipTest("this Python has no grpcio (Debian: python3-grpcio)")
        request = pb.GenerateRequest(prompt=LONG["prompt"], options=pb.GenerationOptions(
            max_tokens=LONG["max_tokens"], ignore_eos=True))
        with grpc.insecure_channel(self.daemon.grpc_address) as channel:
            with self.assertRaises(grpc.RpcError) as caught:
                list(generation_pb2_grpc.GenerationStub(channel).Generate(request, timeout=0.05))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assert_idle()

    def assert_idle(self):
        for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
            self.assertEqual(self.daemon.wait_for_metric(gauge, 0), 0, gauge)

    def assert_aborted(self):
        self.assert_idle()
        self.assertGreater(self.aborted(), self.aborted_before)


if __name__ == "__main__":
    harness.main()
