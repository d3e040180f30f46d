"""The real `openai` package. Run by ./dev test, which fetches it where PyPI can be reached."""

import os
import sys

import harness

VENV = harness.ROOT / "build/openai-venv"

try:
    import openai
except ImportError:
    if (VENV / "complete").exists() and sys.prefix != str(VENV):
        os.execv(VENV / "bin/python", [VENV / "bin/python", "-B", *sys.argv])
    harness.skip_file("the openai package is not installed and PyPI could not be reached")

MESSAGES = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]


class OpenAi(harness.DaemonTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        url = f"http://{cls.daemon.host}:{cls.daemon.port}/v1"
        cls.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        cls.addClassCleanup(cls.client.close)

    def test_chat_streamed_or_not(self):
        fields = {"model": "llama2", "messages": MESSAGES, "max_tokens": 30, "temperature": 1.0, "seed": 1}
        reply = self.client.chat.completions.create(**fields)
        self.assertEqual(reply.choices[0].message.role, "assistant")
        with self.client.chat.completions.create(
                **fields, stream=True, stream_options={"include_usage": True}) as chunks:
            chunks = list(chunks)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        self.assertEqual(text, reply.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.completion_tokens, reply.usage.completion_tokens)

    def test_completions_with_vllms_extras(self):
        reply = self.client.completions.create(
            model="llama2", prompt=["a", "b"], max_tokens=6, logprobs=2,
            extra_body={"ignore_eos": True, "top_k": 5, "decoding": "plain"})
        self.assertEqual([c.index for c in reply.choices], [0, 1])
        self.assertEqual(len(reply.choices[0].logprobs.tokens), 6)
        self.assertEqual(reply.usage.completion_tokens, 12)

    def test_chat_logprobs(self):
        reply = self.client.chat.completions.create(
            model="llama2", messages=MESSAGES, max_completion_tokens=3, logprobs=True, top_logprobs=4,
            extra_body={"ignore_eos": True})
        content = reply.choices[0].logprobs.content
        self.assertEqual(len(content), 3)
        self.assertTrue(all(len(token.top_logprobs) == 4 and token.logprob <= 0 for token in content))

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["llama2"])
        self.assertEqual(self.client.models.retrieve("llama2").id, "llama2")

    def test_errors_are_the_packages_own_classes(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="llama2", messages=MESSAGES, temperature=7)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="other", messages=MESSAGES)


if __name__ == "__main__":
    harness.main()
