"""The gRPC interface with Debian's python3-grpcio."""

import tempfile

import harness

try:
    import grpc
except ImportError:
    harness.skip_file("this Python has no grpcio (Debian: python3-grpcio)")
from reprise.v1 import generation_pb2 as pb
from reprise.v1 import generation_pb2_grpc

PROMPT = "the king and the queen"
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse{status: SERVING}


LIST_SERVICES = b"\x3a\x01*"  # grpc.reflection.v1alpha.ServerReflectionRequest{list_services: "*"}


def raw_bytes(message):
    return message


def reflect(channel, *requests, metadata=()):
    """The replies of server reflection."""
    info = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", raw_bytes, raw_bytes)
    return list(info(iter(requests), metadata=metadata))


class Grpc(harness.DaemonTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.channel = grpc.insecure_channel(cls.daemon.grpc_address)
        cls.addClassCleanup(cls.channel.close)
        cls.stub = generation_pb2_grpc.GenerationStub(cls.channel)

    def request(self, prompt=PROMPT, **options):
        return pb.GenerateRequest(prompt=prompt, options=pb.GenerationOptions(**options))

    def assert_refused(self, code, call, *words):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for word in words:
            self.assertIn(word, caught.exception.details())
        return caught.exception

    def test_stream_equals_unary_equals_http(self):
        for sampling in ({"temperature": 0}, {"temperature": 1, "seed": 5}):
            options = {"max_tokens": 50, "ignore_eos": True, **sampling}
            http = self.complete(prompt=PROMPT, **options)["choices"][0]["text"]
            unary = self.stub.Complete(self.request(**options))
            chunks = list(self.stub.Generate(self.request(**options)))
            self.assertEqual("".join(chunk.text for chunk in chunks), unary.choices[0].text)
            self.assertEqual(unary.choices[0].text, http)
            self.assertEqual([c.finish_reason for c in chunks if c.finish_reason], ["length"])
            self.assertEqual(chunks[-1].usage.completion_tokens, 50)
            self.assertGreater(chunks[-1].metrics.tokens_per_second, 0)

    def test_chat_equals_http(self):
        fields = {"max_tokens": 20, "temperature": 0, "ignore_eos": True}
        http = self.chat(messages=[{"role": "user", "content": "hello"}], **fields)
        request = pb.ChatRequest(messages=[pb.ChatMessage(role="user", content="hello")],
                                 options=pb.GenerationOptions(**fields))
        text = "".join(chunk.text for chunk in self.stub.Chat(request))
        self.assertEqual(text, http["choices"][0]["message"]["content"])

    def test_tokenize_and_back(self):
        ids = self.stub.Tokenize(pb.TokenizeRequest(prompt=PROMPT, add_special_tokens=False)).tokens
        self.assertEqual(self.stub.Detokenize(pb.DetokenizeRequest(tokens=ids)).prompt, PROMPT)

    def test_models_and_server_info(self):
        self.assertEqual([m.id for m in self.stub.ListModels(pb.ListModelsRequest()).models], ["llama2"])
        info = self.stub.ServerInfo(pb.ServerInfoRequest())
        self.assertEqual((info.state, info.max_model_len), ("ready", 128))

    def test_errors_have_codes_and_name_the_field(self):
        error = self.assert_refused(grpc.StatusCode.INVALID_ARGUMENT,
                                    lambda: self.stub.Complete(self.request(temperature=9.0)), "temperature", "2")
        self.assertEqual(dict(error.trailing_metadata())["error-param"], "temperature")
        self.assert_refused(grpc.StatusCode.INVALID_ARGUMENT,
                            lambda: list(self.stub.Generate(self.request(PROMPT * 100))), "128")
        self.assert_refused(grpc.StatusCode.NOT_FOUND,
                            lambda: self.stub.Complete(pb.GenerateRequest(model="other", prompt="a")), "other")

    def test_health_service_says_serving(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check", raw_bytes, raw_bytes)
        self.assertEqual(check(b""), SERVING)
        name = b"reprise.v1.Generation"
        self.assertEqual(check(b"\x0a" + bytes([len(name)]) + name), SERVING)

    def test_reflection_lists_the_services_and_describes_them(self):
        symbol = b"reprise.v1.Generation"
        describe = b"\x22" + bytes([len(symbol)]) + symbol  # file_containing_symbol
        unknown = b"\x22\x01x"
        services, files, error = reflect(self.channel, LIST_SERVICES, describe, unknown)
        self.assertIn(symbol, services)
        self.assertIn(b"grpc.health.v1.Health", services)
        self.assertIn(b"ServerInfoResponse", files)
        self.assertIn(b"google/protobuf/struct.proto", files)
        self.assertIn(b"'x' is not known here", error)


class Keys(harness.DaemonTest):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("secret\n")
            keys.flush()
            cls.FLAGS = (*harness.DaemonTest.FLAGS, "--api-key-file", keys.name, "--metrics-open")
            super().setUpClass()

    def test_the_same_keys_as_http(self):
        with grpc.insecure_channel(self.daemon.grpc_address) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            for metadata in ((), (("authorization", "Bearer wrong"),)):
                with self.assertRaises(grpc.RpcError) as caught:
                    stub.ListModels(pb.ListModelsRequest(), metadata=metadata)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
            stub.ListModels(pb.ListModelsRequest(), metadata=(("authorization", "Bearer secret"),))
            with self.assertRaises(grpc.RpcError) as caught:
                reflect(channel, LIST_SERVICES)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
            self.assertTrue(reflect(channel, LIST_SERVICES, metadata=(("authorization", "Bearer secret"),)))
            health = channel.unary_unary("/grpc.health.v1.Health/Check", raw_bytes, raw_bytes)
            self.assertEqual(health(b""), SERVING)


if __name__ == "__main__":
    harness.main()
