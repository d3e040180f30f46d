"""Self-generated training text: reprise_train.generate asks a daemon, reprise extract reads what it wrote."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import harness
from harness import EMBEDDED, ROOT, run

PROMPTS = [
    {"id": "a", "prompt": "Once upon a time"},
    {"id": "b", "turns": ["The old king", "The young queen"]},
    {"id": "c", "prompt": "In the forest there lived"},
]


class Generate(harness.DaemonTest):
    FLAGS = ("--model", EMBEDDED, "--max-model-len", "128")

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.prompts = pathlib.Path(self.folder.name, "prompts.jsonl")
        self.answers = pathlib.Path(self.folder.name, "answers.jsonl")
        self.prompts.write_text("".join(json.dumps(prompt) + "\n" for prompt in PROMPTS))

    def generate(self, *flags):
        command = [sys.executable, "-B", "-m", "reprise_train.generate", "--url", f"http://127.0.0.1:{self.daemon.port}",
                   "--prompts", self.prompts, "--out", self.answers, "--max-tokens", "12", *flags]
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300,
                                env={**os.environ, "PYTHONPATH": str(ROOT / "train")})
        return result.returncode, result.stderr

    def records(self):
        return {(record["id"], record["turn"]): record for record in map(json.loads, self.answers.read_text().splitlines())}

    def test_answers_are_the_ids_that_the_daemon_wrote(self):
        self.assertEqual(self.generate("--temperatures", "0")[0], 0)
        records = self.records()
        self.assertEqual(sorted(records), [("a", 0), ("b", 0), ("b", 1), ("c", 0)])
        for record in records.values():
            reply = self.complete(prompt=record["prompt"], max_tokens=12, temperature=0, return_token_ids=True)
            self.assertEqual(reply["choices"][0]["token_ids"], record["answer"])
        first, second = records["b", 0], records["b", 1]  # the second turn has read the first answer
        self.assertGreater(len(second["prompt"]), len(first["prompt"]) + 8)

    def test_a_seed_gives_the_same_sampled_answers_whatever_the_streams(self):
        self.assertEqual(self.generate("--temperatures", "1", "--streams", "3")[0], 0)
        together = self.records()
        self.answers.unlink()
        self.assertEqual(self.generate("--temperatures", "1", "--streams", "1")[0], 0)
        self.assertEqual(self.records(), together)

    def test_a_cut_run_goes_on_where_it_was(self):
        self.assertEqual(self.generate("--streams", "1")[0], 0)
        whole = self.answers.read_text().splitlines(keepends=True)
        self.answers.write_text("".join(whole[:1]) + whole[1][:20])  # killed while it wrote
        self.assertEqual(self.generate("--streams", "1")[0], 0)
        self.assertEqual(sorted(self.answers.read_text().splitlines(keepends=True)), sorted(whole))

    def test_extract_reads_the_answers(self):
        self.assertEqual(self.generate()[0], 0)
        out = pathlib.Path(self.folder.name, "hidden")
        result = run("extract", "--model", EMBEDDED, "--tokens", self.answers, "--out", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = [json.loads(line) for line in (out / "sequences.jsonl").read_text().splitlines()]
        self.assertEqual([line["tokens"] for line in lines],
                         [record["prompt"] + record["answer"] for record in self.records().values()])

    def test_bad_input_is_one_line(self):
        self.prompts.write_text('{"id": "x"}\n')
        code, message = self.generate()
        self.assertEqual(code, 1)
        self.assertIn("prompts.jsonl:1", message)
        self.assertEqual(message.count("\n"), 1)
        self.assertFalse(self.answers.exists())


if __name__ == "__main__":
    harness.main()
