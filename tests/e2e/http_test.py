"""The OpenAI interface over real sockets."""

import json
import signal
import subprocess
import tempfile

import harness
from daemon import send_request

PROMPT = "the king and the queen"
MESSAGES = [{"role": "user", "content": "hello there"}]


class Completions(harness.DaemonTest):
    def test_reply_has_openais_shape_and_true_usage(self):
        reply = self.complete(prompt=PROMPT, max_tokens=12, temperature=0, ignore_eos=True, decoding="plain")
        self.assertEqual(reply["object"], "text_completion")
        self.assertEqual(reply["model"], "llama2")
        self.assertEqual([c["index"] for c in reply["choices"]], [0])
        self.assertEqual(reply["choices"][0]["finish_reason"], "length")
        usage = reply["usage"]
        self.assertEqual(usage["completion_tokens"], 12)
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + 12)
        self.assertGreater(reply["metrics"]["tokens_per_second"], 0)
        self.assertEqual(reply["metrics"]["decoding"]["method"], "plain")

    def test_streamed_text_equals_the_unstreamed_one(self):
        for sampling in ({"temperature": 0}, {"temperature": 1, "seed": 11}):
            body = {"prompt": PROMPT, "max_tokens": 60, "ignore_eos": True, "n": 3, **sampling}
            whole = [choice["text"] for choice in self.complete(**body)["choices"]]
            pieces = [""] * 3
            for event in self.daemon.stream("/v1/completions", body):
                for choice in event["choices"]:
                    pieces[choice["index"]] += choice["text"]
            self.assertEqual(pieces, whole)

    def test_last_event_has_the_usage_when_it_was_asked_for(self):
        body = {"prompt": PROMPT, "max_tokens": 5, "ignore_eos": True}
        events = list(self.daemon.stream("/v1/completions", {**body, "stream_options": {"include_usage": True}}))
        self.assertEqual(events[-1]["choices"], [])
        self.assertEqual(events[-1]["usage"]["completion_tokens"], 5)
        self.assertIn("metrics", events[-1])
        finish = [c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]]
        self.assertEqual(finish, ["length"])
        self.assertTrue(all(not e.get("usage") for e in self.daemon.stream("/v1/completions", body)))

    def test_stop_string_is_not_in_the_text_streamed_or_not(self):
        text = self.complete(prompt=PROMPT, max_tokens=60, temperature=0, ignore_eos=True)["choices"][0]["text"]
        stop = text[20:23]
        body = {"prompt": PROMPT, "max_tokens": 60, "temperature": 0, "ignore_eos": True, "stop": stop}
        choice = self.complete(**body)["choices"][0]
        self.assertEqual(choice["text"], text[:text.index(stop)])
        self.assertEqual(choice["finish_reason"], "stop")
        streamed = "".join(c["text"] for e in self.daemon.stream("/v1/completions", body) for c in e["choices"])
        self.assertEqual(streamed, choice["text"])

    def test_prompt_as_ids_equals_prompt_as_text(self):
        _, _, ids = self.daemon.post("/tokenize", {"prompt": PROMPT})
        body = {"max_tokens": 20, "temperature": 0}
        by_text, by_ids = (self.complete(prompt=p, **body) for p in (PROMPT, ids["tokens"]))
        self.assertEqual(by_text["choices"][0]["text"], by_ids["choices"][0]["text"])
        _, _, text = self.daemon.post("/detokenize", {"tokens": ids["tokens"]})
        self.assertTrue(text["prompt"].endswith(PROMPT), text)

    def test_several_prompts_and_choices_are_indexed_prompt_by_prompt(self):
        reply = self.complete(prompt=[PROMPT, "a bear"], n=2, max_tokens=8, temperature=0)
        self.assertEqual([c["index"] for c in reply["choices"]], [0, 1, 2, 3])
        alone = self.complete(prompt="a bear", max_tokens=8, temperature=0)["choices"][0]["text"]
        self.assertEqual([c["text"] for c in reply["choices"][2:]], [alone, alone])


class Chat(harness.DaemonTest):
    def test_reply_has_openais_shape(self):
        reply = self.chat(messages=MESSAGES, max_tokens=9, ignore_eos=True)
        self.assertEqual(reply["object"], "chat.completion")
        self.assertEqual(reply["choices"][0]["message"]["role"], "assistant")
        self.assertEqual(reply["usage"]["completion_tokens"], 9)

    def test_deltas_concatenate_to_the_message(self):
        body = {"messages": MESSAGES, "max_tokens": 40, "temperature": 1, "seed": 3, "ignore_eos": True}
        whole = self.chat(**body)["choices"][0]["message"]["content"]
        events = list(self.daemon.stream("/v1/chat/completions", body))
        self.assertEqual(events[0]["object"], "chat.completion.chunk")
        self.assertEqual(events[0]["choices"][0]["delta"]["role"], "assistant")
        deltas = (choice["delta"].get("content") or "" for event in events for choice in event["choices"])
        self.assertEqual("".join(deltas), whole)

    def test_template_is_the_models_own(self):
        _, _, by_template = self.daemon.post("/tokenize", {"messages": MESSAGES})
        text = "<|user|>hello there<|eos|><|assistant|>"
        _, _, by_hand = self.daemon.post("/tokenize", {"prompt": text, "add_special_tokens": False})
        self.assertEqual(by_template["tokens"], by_hand["tokens"])


class Protocol(harness.DaemonTest):
    FLAGS = ("--model", harness.TINY, "--served-model-name", "tiny")

    def assert_error(self, answer, status, *words):
        code, _, body = answer
        self.assertEqual(code, status, body)
        self.assertEqual(set(body["error"]), {"message", "type", "param", "code"})
        for word in words:
            self.assertIn(word, body["error"]["message"])
        return body["error"]

    def test_probes_and_models(self):
        for path in ("/health", "/ready", "/live", "/version"):
            self.assertEqual(self.daemon.get(path)[0], 200, path)
        _, _, models = self.daemon.get("/v1/models")
        self.assertEqual([m["id"] for m in models["data"]], ["tiny"])
        self.assertEqual(self.daemon.get("/v1/models/tiny")[2]["max_model_len"], 128)
        self.assert_error(self.daemon.get("/v1/models/large"), 404, "large")

    def test_errors_name_the_field_and_what_is_allowed(self):
        post = lambda **body: self.daemon.post("/v1/completions", body)  # noqa: E731
        error = self.assert_error(post(prompt=PROMPT, temperature=9), 400, "temperature", "2")
        self.assertEqual(error["param"], "temperature")
        self.assert_error(post(prompt=PROMPT, temprature=1), 400, "temprature", "temperature")
        self.assert_error(post(prompt=PROMPT, decoding="recycle"), 400, "recycle", "plain")
        self.assert_error(post(prompt=PROMPT * 100), 400, "128")
        self.assert_error(post(prompt=PROMPT, model="other"), 404, "other", "tiny")
        self.assert_error(self.daemon.request("POST", "/v1/completions", b'{"prompt": '), 400)
        self.assert_error(self.daemon.get("/v1/nothing"), 404)
        self.assert_error(self.daemon.get("/v1/completions"), 405)

    def test_a_connection_serves_many_requests_and_pipelined_ones_in_order(self):
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        for _ in range(5):
            send_request(connection, "POST", "/v1/completions", {"prompt": "a", "max_tokens": 2})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            json.loads(response.read())
        head = "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        bodies = [json.dumps({"prompt": "a", "max_tokens": n, "ignore_eos": True}) for n in (30, 1)]
        connection.sock.sendall("".join(f"{head}Content-Length: {len(b)}\r\n\r\n{b}" for b in bodies).encode())
        answers = b""
        while answers.count(b'"completion_tokens"') < 2:
            answers += connection.sock.recv(65536)
        first, second = (answers.find(f'"completion_tokens":{n},'.encode()) for n in (30, 1))
        self.assertTrue(0 < first < second, answers)

    def test_request_id_is_echoed_or_made(self):
        _, headers, _ = self.daemon.request("GET", "/v1/models", headers={"x-request-id": "abc-1"})
        self.assertEqual(headers["x-request-id"], "abc-1")
        made = [self.daemon.get("/v1/models")[1]["x-request-id"] for _ in range(2)]
        self.assertTrue(all(made))
        self.assertNotEqual(*made)

    def test_metrics_count_what_was_asked(self):
        before = self.daemon.metrics()
        reply = self.complete(prompt=PROMPT, max_tokens=7, ignore_eos=True)
        after = self.daemon.metrics()
        moved = {k.split("{")[0]: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
        self.assertEqual(moved["vllm:generation_tokens_total"], 7)
        self.assertEqual(moved["vllm:prompt_tokens_total"], reply["usage"]["prompt_tokens"])
        self.assertEqual(moved["vllm:request_success_total"], 1)
        self.assertEqual(moved["vllm:e2e_request_latency_seconds_count"], 1)
        self.assertTrue(any('model_name="tiny"' in sample and 'engine="0"' in sample for sample in after))

    def test_curl_completes_and_streams(self):
        def curl(**body):
            url = f"http://{self.daemon.host}:{self.daemon.port}/v1/chat/completions"
            return subprocess.run(["curl", "-sSN", url, "-H", "Content-Type: application/json", "-d", json.dumps(body)],
                                  check=True, capture_output=True).stdout.decode()

        reply = json.loads(curl(messages=MESSAGES, max_tokens=4, ignore_eos=True))
        self.assertEqual(reply["usage"]["completion_tokens"], 4)
        streamed = curl(messages=MESSAGES, max_tokens=4, ignore_eos=True, stream=True)
        self.assertTrue(streamed.startswith("data: {"), streamed)
        self.assertTrue(streamed.endswith("data: [DONE]\n\n"), streamed)


class Keys(harness.DaemonTest):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.NamedTemporaryFile("w")
        cls.addClassCleanup(cls.keys.close)
        cls.write_keys("first\nsecond\n")
        cls.FLAGS = (*harness.DaemonTest.FLAGS, "--api-key-file", cls.keys.name, "--metrics-open")
        super().setUpClass()

    @classmethod
    def write_keys(cls, text):
        cls.keys.seek(0)
        cls.keys.truncate()
        cls.keys.write(text)
        cls.keys.flush()

    def status(self, path, key=None):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.daemon.request("GET", path, headers=headers)[0]

    def test_all_routes_but_the_probes_need_a_key_and_sighup_reads_them_again(self):
        for path in ("/health", "/live", "/ready", "/metrics"):
            self.assertEqual(self.status(path), 200, path)
        for key, expected in ((None, 401), ("third", 401), ("first", 200), ("second", 200)):
            self.assertEqual(self.status("/v1/models", key), expected, key)
        self.write_keys("third\n")
        self.daemon.send_signal(signal.SIGHUP)
        self.daemon.wait_for_log("re-read")
        for key, expected in (("third", 200), ("first", 401)):
            self.assertEqual(self.status("/v1/models", key), expected, key)


if __name__ == "__main__":
    harness.main()
