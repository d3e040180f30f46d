"""The command line: exit codes, messages, and where settings come from."""

import json
import os
import re
import socket
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
