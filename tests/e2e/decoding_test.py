"""Decoding methods through the real daemon: the model is its own draft, so that greedy drafts always stand."""

import json
import unittest

import harness
from daemon import Daemon
from harness import run

PROMPT = "the king and the queen"
GREEDY = {"prompt": PROMPT, "max_tokens": 40, "temperature": 0, "ignore_eos": True}
METHODS = ("auto", "plain", "speculative", {"method": "speculative", "proposer": "prompt_lookup"},
           {"method": "auto", "max_draft_tokens": 1})


class Decoding(harness.DaemonTest):
    FLAGS = ("--model", harness.TINY, "--draft", harness.TINY)

    def test_every_method_gives_the_same_text(self):
        for sampling in ({"temperature": 0}, {"temperature": 1, "seed": 5}):
            replies = [self.complete(**{**GREEDY, **sampling}, decoding=method) for method in METHODS]
            self.assertEqual(len({reply["choices"][0]["text"] for reply in replies}), 1, sampling)

    def test_the_reply_says_how_it_was_decoded(self):
        metrics = self.complete(**GREEDY, decoding={"method": "speculative", "max_draft_tokens": 3})["metrics"]
        self.assertEqual(metrics["decoding"]["method"], "speculative")
        self.assertGreater(metrics["decoding"]["tokens_per_pass"], 3)
        self.assertEqual(list(metrics["decoding"]["router"]["draft_model"]), ["requested"])
        drafts = metrics["speculative_decoding"]
        self.assertEqual(drafts["draft_acceptance_rate"], 1)
        self.assertEqual(sum(drafts["acceptance_histogram"]), drafts["num_spec_steps"])
        self.assertEqual(sum(k * n for k, n in enumerate(drafts["acceptance_histogram"])),
                         drafts["num_accepted_draft_tokens"])

    def test_a_stream_ends_with_the_same_metrics(self):
        body = {**GREEDY, "decoding": "speculative"}
        whole = self.complete(**body)["metrics"]
        last = list(self.daemon.stream("/v1/completions", {**body, "stream_options": {"include_usage": True}}))[-1]
        for part in ("decoding", "speculative_decoding"):
            self.assertEqual(last["metrics"][part], whole[part])

    def test_counters_move_with_the_reply(self):
        names = ("vllm:spec_decode_num_drafts_total", "vllm:spec_decode_num_draft_tokens_total",
                 "vllm:spec_decode_num_accepted_tokens_total", "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                 "reprise:draft_tokens_total", "reprise:accepted_tokens_total")
        before = [self.daemon.metric(name) for name in names]
        drafts = self.complete(**GREEDY, decoding="speculative")["metrics"]["speculative_decoding"]
        moved = [self.daemon.metric(name) - old for name, old in zip(names, before)]
        drafted, accepted = drafts["num_draft_tokens"], drafts["num_accepted_draft_tokens"]
        self.assertEqual(moved, [drafts["num_spec_steps"], drafted, accepted, accepted, drafted, accepted])

    def test_what_is_loaded_is_listed_and_what_is_not_refused(self):
        card = self.daemon.get("/v1/models")[2]["data"][0]
        self.assertEqual(card["decoding_methods"], ["plain", "speculative"])
        self.assertEqual(card["proposers"], ["draft_model", "prompt_lookup"])
        status, _, body = self.daemon.post("/v1/completions", {"prompt": "a", "decoding": "recycle"})
        self.assertEqual(status, 400)
        self.assertIn("loaded: auto, plain, speculative", body["error"]["message"])

    def test_grpc_says_the_same(self):
        try:
            import grpc
        except ImportError:
            self.skipTest("python3-grpcio is not installed")
        from reprise.v1 import generation_pb2 as pb, generation_pb2_grpc

        whole = self.complete(**GREEDY, decoding="speculative")
        options = pb.GenerationOptions(max_tokens=40, temperature=0, ignore_eos=True,
                                       decoding=pb.Decoding(method="speculative"))
        with grpc.insecure_channel(self.daemon.grpc_address) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            reply = stub.Complete(pb.GenerateRequest(prompt=PROMPT, options=options))
            self.assertEqual(list(stub.ServerInfo(pb.ServerInfoRequest()).proposers), ["draft_model", "prompt_lookup"])
        self.assertEqual(reply.choices[0].text, whole["choices"][0]["text"])
        drafts = whole["metrics"]["speculative_decoding"]
        self.assertEqual(list(reply.metrics.speculative_decoding.acceptance_histogram), drafts["acceptance_histogram"])
        router = {}
        for count in reply.metrics.decoding.router:
            router.setdefault(count.decoder, {})[count.reason] = count.steps
        self.assertEqual(router, whole["metrics"]["decoding"]["router"])


class CommandLine(unittest.TestCase):
    MODEL = ("--model", harness.TINY)
    DRAFTED = (*MODEL, "--draft", harness.TINY, "--decoding", "speculative")

    def test_the_servers_default(self):
        with Daemon(harness.BINARY, *self.DRAFTED) as daemon:
            self.assertEqual(daemon.post("/v1/completions", GREEDY)[2]["metrics"]["decoding"]["method"], "speculative")
            self.assertEqual(daemon.stop(), 0)

    def test_what_is_not_loaded_is_refused_with_what_is(self):
        for command in (("serve", "--port", 0, "--grpc-port", 0), ("generate", "--prompt", "a"), ("bench",)):
            result = run(*command, *self.MODEL, "--decoding", "recycle")
            self.assertEqual(result.returncode, 1, command)
            self.assertIn("loaded: auto, plain, speculative", result.stderr)
        result = run("generate", "--prompt", "a", *self.MODEL, "--proposer", "draft_model")
        self.assertEqual(result.returncode, 1)
        self.assertIn("loaded: prompt_lookup", result.stderr)
        result = run("generate", "--prompt", "a", *self.MODEL, "--decoding", "plain", "--proposer", "prompt_lookup")
        self.assertEqual(result.returncode, 1)
        self.assertIn("speculative or auto", result.stderr)

    def test_generate_prints_the_same_text_and_the_figures(self):
        wanted = ("--prompt", PROMPT, "--max-tokens", 30, "--temperature", 0, "--ignore-eos")
        plain = run("generate", *self.MODEL, "--decoding", "plain", *wanted)
        drafted = run("generate", *self.DRAFTED, "--max-draft-tokens", 5, *wanted)
        self.assertEqual(drafted.stdout, plain.stdout)
        self.assertIn("30 passes, 1.00 tokens per pass", plain.stderr)
        self.assertIn("6 passes, 5.00 tokens per pass; mostly speculative, 24 of 24", drafted.stderr)

    def test_bench_answers_a_file_of_prompts(self):
        path = harness.BUILD / f"{self.id()}.jsonl"
        path.write_text('{"prompt": "the king"}\n\n{"id": 1, "turns": ["the queen", "and then?"]}\n')
        self.addCleanup(path.unlink)
        result = run("bench", *self.DRAFTED, "--max-draft-tokens", 4, "--prompts", path, "--gen-tokens", 16,
                     "--concurrency", "1,2", "--repeats", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([row["concurrency"] for row in rows], [1, 2])
        for row in rows:
            self.assertEqual(row["acceptance"], 1)
            self.assertGreater(row["tokens_per_pass"], 1)
        path.write_text('{"prompt": "the king"}\n{"turns": []}\n')
        result = run("bench", *self.MODEL, "--prompts", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{path.name}:2", result.stderr)

    def test_eval_agreement_of_a_model_with_itself_is_whole(self):
        path = harness.BUILD / f"{self.id()}.txt"
        path.write_text("the king and the queen went to the sea, and the sea was wide. " * 20)
        self.addCleanup(path.unlink)
        result = run("eval", "agreement", *self.MODEL, "--draft", harness.TINY, "--text", path, "--context", 128,
                     "--max-draft-tokens", 3, "--max-windows", 2, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = {row["proposer"]: row for row in map(json.loads, result.stdout.splitlines())}
        self.assertEqual(set(rows), {"draft_model", "prompt_lookup"})
        self.assertEqual(rows["draft_model"]["agreement_by_position"], [1, 1, 1])
        self.assertEqual(rows["draft_model"]["alpha"], 1)
        self.assertEqual(rows["draft_model"]["drafts"], 6)  # at 32, 64 and 96 of two windows
        self.assertLess(rows["prompt_lookup"]["alpha"], 1)
        self.assertEqual(run("eval", "beauty", *self.MODEL, "--text", path).returncode, 2)


if __name__ == "__main__":
    harness.main()
