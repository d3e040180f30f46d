"""The command line: exit codes, messages, and where settings come from."""

import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import unittest

import harness
from daemon import Daemon
from harness import run


class Usage(unittest.TestCase):
    def assert_fails(self, code, result, *words):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)

    def test_unknown_names_are_usage_errors_that_name_the_nearest(self):
        self.assert_fails(2, run("serv"), "'serv'", "'serve'")
        self.assert_fails(2, run("serve", "--prot", "1"), "--prot", "--port")
        self.assert_fails(2, run("serve", "--port", "eighty"), "--port", "eighty", "65535")
        self.assert_fails(2, run())

    def test_every_command_has_help(self):
        commands = re.findall(r"^  ([a-z]+) +\S", run("--help").stdout, re.MULTILINE)
        self.assertIn("serve", commands)
        for command in commands:
            result = run(command, "--help")
            self.assertEqual(result.returncode, 0, command)
            self.assertIn(f"Usage: reprise {command}", result.stdout)

    def test_a_model_that_is_not_there(self):
        self.assert_fails(1, run("serve", "--port", 0, "--grpc-port", 0, "--model", "/nowhere/model.gguf"), "/nowhere/model.gguf")

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for flag, other in (("--port", "--grpc-port"), ("--grpc-port", "--port")):
                result = run("serve", "--model", harness.TINY, flag, port, other, 0)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(str(port), result.stderr)

    def test_generate(self):
        result = run("generate", "--model", harness.TINY, "--prompt", "the", "--max-tokens", 5, "--temperature", 0)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout)
        self.assertIn("tokens", result.stderr)


class Tools(unittest.TestCase):
    """slice and quantize: from a model to a model, and what they say to bad input."""

    CALIBRATION = "tests/data/sliced/calibration.txt"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def slice(self, **flags):
        values = {"model": harness.TINY, "out": self.folder / "out", "calibration": self.CALIBRATION, "samples": 4,
                  "seq-len": 64, **flags}
        return run("slice", *(f"--{name}={value}" for name, value in values.items()))

    def assert_fails(self, code, result, *words):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_sliced_and_quantized_model_generates(self):
        result = self.slice(sparsity=0.25)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("parameters", result.stdout)
        self.assertIn("sliced widths    layer 0: 48, 48, 48; layer 1: 48, 48, 64; norms over 64",
                      run("inspect", self.folder / "out").stdout)
        quantized = run("quantize", "--model", self.folder / "out", "--type", "q4_1", "--out", self.folder / "q.gguf")
        self.assertEqual(quantized.returncode, 0, quantized.stderr)
        for model in ("out", "q.gguf"):
            result = run("generate", "--model", self.folder / model, "--prompt", "the", "--max-tokens", 5)
            self.assertEqual(result.returncode, 0, result.stderr)
        again = self.slice(sparsity=0.25)
        self.assertEqual((again.returncode, "exists already" in again.stderr), (1, True), again.stderr)

    def test_a_quantized_family_generates_as_the_original(self):
        assets = harness.EMBEDDED.parent
        for part, parameters in (("recycle", 869632), ("draft", 738048)):
            result = run("quantize", "--model", assets / part, "--out", self.folder / part)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f"{parameters} parameters", result.stdout)
            listing = run("inspect", self.folder / part).stdout
            self.assertRegex(listing, r"format +gguf\n(.*\n)*weight types +F32 0.\d %, Q8_0 99.\d %\nkind +\w")
        (self.folder / "family.json").write_text(
            json.dumps({"target": str(harness.EMBEDDED), "recycle": "recycle", "draft": "draft"}))
        for method in ("recycle", "speculative"):
            texts, counts = zip(*(
                (result.stdout, re.search(r"\d+ of \d+ drafted", result.stderr).group())
                for result in (run("generate", "--model", family, "--prompt", "Once upon a time", "--max-tokens", 30,
                                   "--temperature", 0, "--decoding", method) for family in (assets, self.folder))))
            self.assertEqual(texts[0], texts[1])
            self.assertEqual(counts[0], counts[1])

    def test_bad_values_of_every_flag_end_in_one_line(self):
        bad = [(1, "sparsity", 1, "below 1"), (2, "sparsity", "half", "--sparsity"), (2, "sparsity", -0.5, "--sparsity"),
               (2, "samples", 0, "--samples"), (1, "samples", 5000, "5000 are wanted"), (1, "seq-len", 4096, "--seq-len"),
               (2, "seed", "x", "--seed"), (2, "round-interval", 0, "--round-interval"),
               (1, "layer-config", "/nowhere.json", "/nowhere.json"), (2, "orientation", "up", "random"),
               (2, "dtype", "q8_0", "bf16"), (1, "calibration", "/nowhere.txt", "/nowhere.txt"),
               (1, "model", "/nowhere", "/nowhere"), (2, "recycle", "x", "--recycle")]
        for code, flag, value, words in bad:
            with self.subTest(flag=flag, value=value):
                self.assert_fails(code, self.slice(**{flag: value}), words)
        self.assert_fails(2, run("slice", "--model", harness.TINY), "--out is missing")
        self.assert_fails(2, run("slice", "--out", self.folder / "out"), "--calibration is missing")
        out = self.folder / "q.gguf"
        self.assert_fails(2, run("quantize", "--model", harness.TINY, "--out", out, "--type", "q9"), "q8_0|q4_0")
        self.assert_fails(2, run("quantize", "--model", harness.TINY), "--out is missing")
        self.assert_fails(1, run("quantize", "--model", "/nowhere", "--out", out), "/nowhere")
        module = harness.EMBEDDED.parent / "recycle"
        self.assert_fails(1, run("quantize", "--model", module, "--out", harness.TINY), "exists already")
        self.assert_fails(1, run("quantize", "--model", module, "--out", self.folder / "no" / "where"), "cannot make")


    def test_weights_that_are_no_number_end_every_tool(self):
        with tempfile.TemporaryDirectory() as folder:
            model, text = pathlib.Path(folder) / "model", pathlib.Path(folder) / "text.txt"
            shutil.copytree(harness.TINY, model)
            spoil_first_weight(model / "model.safetensors", "model.layers.1.mlp.up_proj.weight")
            text.write_text("the old king " * 40)
            out = self.folder / "out"
            results = [self.slice(model=model),
                       run("quantize", "--model", model, "--type", "q8_0", "--out", out),
                       run("extract", "--model", model, "--text", text, "--out", out),
                       run("eval", "perplexity", "--model", model, "--text", text, "--context", 16),
                       run("generate", "--model", model, "--prompt", "the")]
            for result in results:
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertRegex(result.stderr.splitlines()[-1], "^reprise: .*finite")  # progress may go before
            self.assertEqual(list(self.folder.iterdir()), [])


def spoil_first_weight(path, name):
    """Makes the first element of a tensor of a safetensors file a NaN, in any float type of two or four bytes."""
    file = bytearray(path.read_bytes())
    header_bytes = int.from_bytes(file[:8], "little")
    tensor = json.loads(file[8:8 + header_bytes])[name]
    begin = 8 + header_bytes + tensor["data_offsets"][0]
    nan = {"F32": b"\x00\x00\xc0\x7f", "BF16": b"\xc0\x7f", "F16": b"\x00\x7e"}[tensor["dtype"]]
    file[begin:begin + len(nan)] = nan
    path.write_bytes(file)


class Settings(unittest.TestCase):
    def served_name(self, *flags, **environment):
        with Daemon(harness.BINARY, "--model", harness.TINY, *flags, env={**os.environ, **environment}) as daemon:
            name = daemon.get("/v1/models")[2]["data"][0]["id"]
            self.assertEqual(daemon.stop(), 0)
            return name

    def test_json_log_is_one_object_a_line(self):
        with Daemon(harness.BINARY, "--model", harness.TINY, "--log-format", "json") as daemon:
            self.assertEqual(daemon.stop(), 0)
            lines = [json.loads(line) for line in daemon.log]
        self.assertTrue(all({"time", "level", "message"} <= set(line) for line in lines))
        ready = next(line for line in lines if line["message"] == "ready")
        self.assertEqual(ready["model"], "llama2")

    def config(self, text):
        path = harness.BUILD / f"{self.id()}.yaml"
        path.write_text(text)
        self.addCleanup(path.unlink)
        return path

    def test_flags_beat_environment_beats_file_beats_default(self):
        file = self.config("served-model-name: from-file\n")
        self.assertEqual(self.served_name(), "llama2")
        self.assertEqual(self.served_name("--config", file), "from-file")
        environment = {"REPRISE_SERVED_MODEL_NAME": "from-environment"}
        self.assertEqual(self.served_name("--config", file, **environment), "from-environment")
        self.assertEqual(self.served_name("--config", file, "--served-model-name", "from-flag", **environment),
                         "from-flag")

    def test_config_errors_name_file_and_nearest_key(self):
        path = self.config("")
        for text, words in (("prot: 1\n", (path.name, "'prot'", "'port'")), ("port: [1, 2]\n", ("port", "65535")),
                            ("host: a\nhost: b\n", (path.name, "line 2")), ("a: b: c\n", (path.name,))):
            path.write_text(text)
            result = run("serve", "--config", path)
            self.assertEqual(result.returncode, 2, result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)

    def test_serve_yaml_can_be_served(self):
        self.assertEqual(self.served_name("--config", harness.ROOT / "configs/serve.yaml"), "llama2")


if __name__ == "__main__":
    harness.main()
