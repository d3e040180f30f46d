"""HTTP and gRPC over TLS."""

import http.client
import os
import shutil
import signal
import socket
import ssl
import struct
import tempfile
import unittest
import warnings

import certificates
import harness
from daemon import Daemon, events, send_request, wait_until

try:
    import grpc
    from reprise.v1 import generation_pb2 as pb
    from reprise.v1 import generation_pb2_grpc
except ImportError:
    grpc = None

MESSAGES = [{"role": "user", "content": "hello there"}]
GREEDY = {"max_tokens": 40, "temperature": 0, "ignore_eos": True}
LONG = {"prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": True, "temperature": 0}
needs_grpc = unittest.skipIf(grpc is None, "this Python has no grpcio (Debian: python3-grpcio)")


class TlsDaemon:
    """For a DaemonTest: its daemon's certificate comes from `authority`."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.authority = certificates.Authority(folder.name)
        cls.server = cls.authority.issue("server")
        cls.daemon = Daemon(harness.BINARY, *cls.FLAGS, *cls.server.flags(), *cls.more_flags(),
                            tls=cls.client_context())
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.wait_ready()

    @classmethod
    def more_flags(cls):
        return ()

    @classmethod
    def client_context(cls):
        return cls.authority.client()

    def open_tls(self, context, port=None, **options):
        """A TLS connection to the daemon's HTTP port or another; closed at the test's end."""
        plain = socket.create_connection((self.daemon.host, port or self.daemon.port), timeout=60)
        self.addCleanup(plain.close)
        tls = context.wrap_socket(plain, server_hostname=self.daemon.host, **options)
        self.addCleanup(tls.close)
        return tls

    def grpc_port(self):
        return int(self.daemon.grpc_address.rsplit(":", 1)[1])

    def stub(self, roots=None, client=None):
        """A gRPC client that trusts `roots`, here its server's own unless told otherwise."""
        files = (roots or self.authority.root, client and client.key, client and client.cert)
        credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
        channel = grpc.secure_channel(self.daemon.grpc_address, credentials)
        self.addCleanup(channel.close)
        return generation_pb2_grpc.GenerationStub(channel)

    def assert_grpc_refused(self, code, call, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            call(pb.ServerInfoRequest(), timeout=20, **options)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())


class Tls(TlsDaemon, harness.DaemonTest):
    FLAGS = ("--model", harness.EMBEDDED)

    def test_chat_over_https_streamed_or_not(self):
        body = {"messages": MESSAGES, **GREEDY}
        whole = self.chat(**body)["choices"][0]["message"]["content"]
        stream = self.daemon.stream("/v1/chat/completions", body)
        deltas = (choice["delta"].get("content") or "" for event in stream for choice in event["choices"])
        self.assertEqual("".join(deltas), whole)
        self.assertTrue(whole)

    @needs_grpc
    def test_grpc_over_tls_says_the_same(self):
        options = pb.GenerationOptions(**GREEDY)
        chunks = self.stub().Generate(pb.GenerateRequest(prompt="the king", options=options), timeout=60)
        text = "".join(chunk.text for chunk in chunks)
        self.assertEqual(text, self.complete(prompt="the king", **GREEDY)["choices"][0]["text"])

    def test_tls_1_2_and_1_3_and_nothing_older(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = self.authority.client(minimum_version=version, maximum_version=version)
            self.assertEqual(self.open_tls(context).version(), name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old = self.authority.client(minimum_version=ssl.TLSVersion.TLSv1_1,
                                        maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")  # else this side would not even ask
        with self.assertRaisesRegex(ssl.SSLError, "ALERT_PROTOCOL_VERSION"):
            self.open_tls(old)

    def test_alpn_takes_http_1_1_and_refuses_those_who_offer_only_others(self):
        both, other = self.authority.client(), self.authority.client()
        both.set_alpn_protocols(["h2", "http/1.1"])
        other.set_alpn_protocols(["h2"])
        self.assertEqual(self.open_tls(both).selected_alpn_protocol(), "http/1.1")
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            self.open_tls(other)

    def test_who_does_not_know_the_root_does_not_talk_to_the_daemon(self):
        with tempfile.TemporaryDirectory() as folder:
            stranger = certificates.Authority(folder, "stranger")
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.open_tls(stranger.client())
            if grpc is not None:
                self.assert_grpc_refused(grpc.StatusCode.UNAVAILABLE, self.stub(stranger.root).ServerInfo)

    def test_plain_clients_are_refused_in_their_own_words(self):
        plain = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=60)
        self.addCleanup(plain.close)
        plain.request("GET", "/health")
        response = plain.getresponse()
        self.assertEqual((response.status, b"speaks HTTPS" in response.read()), (400, True))
        if grpc is not None:
            with grpc.insecure_channel(self.daemon.grpc_address) as channel:
                self.assert_grpc_refused(grpc.StatusCode.UNAVAILABLE,
                                         generation_pb2_grpc.GenerationStub(channel).ServerInfo)

    def test_a_whole_reply_ends_with_close_notify(self):
        # Without the notice, the last read is an error.
        context = self.authority.client()
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        for version, framing in (("1.1", b"transfer-encoding: chunked"), ("1.0", b"")):
            connection = self.open_tls(context, suppress_ragged_eofs=False)
            body = b'{"prompt": "the king", "max_tokens": 20, "stream": true}'
            connection.sendall(b"POST /v1/completions HTTP/%s\r\nHost: a\r\nConnection: close\r\n"
                               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                               % (version.encode(), len(body), body))
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
            self.assertIn(framing, reply.lower())
            self.assertIn(b"data: [DONE]\n\n", reply)

    def test_a_session_is_resumed(self):
        context = self.authority.client(maximum_version=ssl.TLSVersion.TLSv1_2)
        session = self.open_tls(context).session
        self.assertTrue(self.open_tls(context, session=session).session_reused)

    def test_a_client_that_goes_away_in_any_way_ends_its_request(self):
        def reset(tls):
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tls.close()

        leave = {"close without a notice": lambda tls: tls.close(),
                 "close with one": lambda tls: tls.unwrap(),
                 "half of a close": lambda tls: tls.shutdown(socket.SHUT_WR),
                 "reset": reset}
        for name, leaves in leave.items():
            for stream in (True, False):
                with self.subTest(client=name, stream=stream):
                    aborted = self.aborted()
                    connection = self.daemon.connect()
                    send_request(connection, "POST", "/v1/completions", {**LONG, "n": 8, "stream": stream})
                    self.assertTrue(wait_until(lambda: self.daemon.metric("vllm:num_requests_running") > 0))
                    try:
                        leaves(connection.sock)
                    except OSError:
                        pass  # unwrap, when what comes next is no close_notify
                    self.assertEqual(self.daemon.wait_for_metric("vllm:num_requests_running", 0), 0)
                    self.assertGreater(self.aborted(), aborted)
                    connection.close()

    def aborted(self):
        return sum(value for sample, value in self.daemon.metrics().items()
                   if sample.startswith("vllm:request_success_total") and 'finished_reason="abort"' in sample)

    def test_nothing_is_left_of_many_handshakes_whole_halved_or_silent(self):
        self.daemon.get("/live")
        descriptors = lambda: len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))  # noqa: E731
        before = descriptors()
        hello, _ = self.client_hello()
        for i in range(300):
            plain = socket.create_connection((self.daemon.host, self.daemon.port), timeout=60)
            if i % 3 == 0:
                plain = self.daemon.tls.wrap_socket(plain, server_hostname=self.daemon.host)
            elif i % 3 == 1:
                plain.sendall(hello[:len(hello) // 2])
            plain.close()
        self.assertTrue(wait_until(lambda: descriptors() <= before), (descriptors(), before))

    def test_nobody_waits_for_those_who_do_not_shake_hands(self):
        hello, _ = self.client_hello()
        for i in range(100):
            idler = socket.create_connection((self.daemon.host, self.daemon.port), timeout=60)
            self.addCleanup(idler.close)
            idler.sendall(hello[:i])
        self.assertEqual(self.daemon.get("/live")[0], 200)

    def client_hello(self):
        """What a client says first, and the rest of that client."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.daemon.tls.wrap_bio(incoming, outgoing, server_hostname=self.daemon.host)
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        return outgoing.read(), client


class Reload(TlsDaemon, harness.DaemonTest):
    FLAGS = ("--model", harness.EMBEDDED)

    def setUp(self):
        self.original = self.authority.issue("original")
        self.reload(self.original)
        self.assertEqual(self.serials(), {self.original.serial})

    def reload(self, identity):
        """Puts the identity's files in place of those that the daemon was started with, and says so."""
        shutil.copy(identity.cert, self.server.cert)
        shutil.copy(identity.key, self.server.key)
        self.hang_up()

    def hang_up(self):
        """SIGHUP; the line that the daemon logs about it."""
        before = len(self.daemon.log)
        said = lambda: [line for line in self.daemon.log[before:] if "re-read" in line]  # noqa: E731
        self.daemon.send_signal(signal.SIGHUP)
        self.assertTrue(wait_until(said))
        self.assertEqual(len(said()), 1)
        return said()[0]

    def serials(self):
        """Whose certificates new connections see, on HTTP's port and on gRPC's."""
        context = self.authority.client()
        context.set_alpn_protocols(["http/1.1", "h2"])
        return {int(self.open_tls(context, port).getpeercert()["serialNumber"], 16)
                for port in (self.daemon.port, self.grpc_port())}

    def test_new_connections_see_the_new_certificate_and_open_ones_go_on(self):
        renewed = self.authority.issue("renewed")
        text = self.complete(**LONG)["choices"][0]["text"]
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        choices = 16  # which take a while
        send_request(connection, "POST", "/v1/completions", {**LONG, "n": choices, "stream": True})
        response = connection.getresponse()
        stream = events(response)
        pieces = [next(stream)]
        self.reload(renewed)
        self.assertEqual(self.serials(), {renewed.serial})
        pieces += stream
        texts = [""] * choices
        for choice in (choice for event in pieces for choice in event["choices"]):
            texts[choice["index"]] += choice["text"]
        self.assertEqual(texts, [text] * choices)
        response.read()
        send_request(connection, "GET", "/live")
        self.assertEqual(connection.getresponse().status, 200)

    @needs_grpc
    def test_an_open_grpc_channel_goes_on(self):
        renewed = self.authority.issue("renewed")
        stub = self.stub()
        options = pb.GenerationOptions(**{k: v for k, v in LONG.items() if k != "prompt"})
        chunks = stub.Generate(pb.GenerateRequest(prompt=LONG["prompt"], options=options), timeout=60)
        next(chunks)
        self.reload(renewed)
        self.assertEqual([chunk.finish_reason for chunk in chunks if chunk.finish_reason], ["length"])
        self.assertEqual(stub.ServerInfo(pb.ServerInfoRequest(), timeout=60).state, "ready")

    def test_bad_files_leave_the_old_certificate_and_one_line_why(self):
        cert = self.server.cert
        for content, reason in ((b"no certificate", "no certificate in PEM"), (None, "No such file"),
                                (self.authority.issue("other").cert.read_bytes(), "does not belong")):
            cert.unlink()
            if content is not None:
                cert.write_bytes(content)
            line = self.hang_up()
            self.assertIn(reason, line)
            self.assertIn(str(cert), line)
            self.assertEqual(self.serials(), {self.original.serial})
            cert.touch()

    def test_an_expired_certificate_is_served_with_a_warning(self):
        old = self.authority.issue("old")
        self.authority.expire(old)
        self.reload(old)
        self.daemon.wait_for_log("has expired")
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "expired"):
            self.serials()


class MutualTls(TlsDaemon, harness.DaemonTest):
    """Clients need a certificate, and a key as well."""

    @classmethod
    def more_flags(cls):
        cls.client_folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.client_folder.cleanup)
        cls.clients = certificates.Authority(cls.client_folder.name, "clients")
        cls.client = cls.clients.issue("client")
        keys = cls.clients.folder / "keys"
        keys.write_text("secret\n")
        return "--tls-client-ca", cls.clients.root, "--api-key-file", keys, "--metrics-open"

    @classmethod
    def client_context(cls):
        return cls.authority.client(cls.client)

    def test_the_right_certificate_and_key_get_in(self):
        models = lambda **headers: self.daemon.request("GET", "/v1/models", headers=headers)[0]  # noqa: E731
        self.assertEqual(models(Authorization="Bearer secret"), 200)
        self.assertEqual(models(Authorization="Bearer wrong"), 401)
        self.assertEqual(models(), 401)
        session = self.open_tls(context := self.authority.client(
            self.client, maximum_version=ssl.TLSVersion.TLSv1_2)).session
        self.assertTrue(self.open_tls(context, session=session).session_reused)

    def test_no_certificate_or_one_of_another_root_does_not(self):
        # The daemon's own root is no client's.
        for client, alert in ((None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
                              (self.authority.issue("impostor"), "UNKNOWN_CA")):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = self.authority.client(client, maximum_version=version)
                with self.subTest(alert=alert, version=version):
                    with self.assertRaisesRegex(ssl.SSLError, alert):
                        tls = self.open_tls(context)
                        tls.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
                        tls.recv(1)  # with TLS 1.3 the client hears of it after its own side of the handshake
        self.daemon.wait_for_log("peer did not return a certificate")

    @needs_grpc
    def test_grpc_asks_for_the_same(self):
        key = (("authorization", "Bearer secret"),)
        info = self.stub(client=self.client).ServerInfo
        self.assertEqual(info(pb.ServerInfoRequest(), metadata=key, timeout=60).state, "ready")
        self.assert_grpc_refused(grpc.StatusCode.UNAUTHENTICATED, info)
        for client in (None, self.authority.issue("impostor")):
            refused = self.stub(client=client).ServerInfo
            self.assert_grpc_refused(grpc.StatusCode.UNAVAILABLE, refused, metadata=key)


class Refusals(unittest.TestCase):
    """Starts that fail; tests/unit/server/tls_files_test.cc has them all."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.server = certificates.Authority(folder.name).issue("server")

    def assert_refused(self, word, *flags, **environment):
        result = harness.run("serve", "--model", harness.TINY, "--port", 0, "--grpc-port", 0, *flags,
                             **environment)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn(word, result.stderr)

    def test_each_is_one_line_and_exit_code_1(self):
        cert, key = self.server.cert, self.server.key
        self.assert_refused("--tls-cert needs --tls-key", "--tls-cert", cert)
        self.assert_refused("--tls-key needs --tls-cert", REPRISE_TLS_KEY=str(key))
        self.assert_refused("--tls-client-ca needs", "--tls-client-ca", cert)
        self.assert_refused("no private key in PEM", "--tls-cert", cert, "--tls-key", cert)
        encrypted = key.with_suffix(".encrypted")
        certificates.openssl("pkey", "-in", key, "-out", encrypted, "-aes128", "-passout", "pass:secret")
        self.assert_refused("is encrypted", "--tls-cert", cert, "--tls-key", encrypted)


if __name__ == "__main__":
    harness.main()
