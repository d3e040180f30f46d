"""A model that people use: SmolLM2-135M-Instruct, when its file is beside the checkout."""

import harness

if not harness.SMOLLM2.exists():
    harness.skip_file(f"{harness.SMOLLM2} is not there")


class SmolLM2(harness.DaemonTest):
    FLAGS = ("--model", harness.SMOLLM2)

    def ask(self, question):
        reply = self.chat(messages=[{"role": "user", "content": question}], max_tokens=40, temperature=0)
        return reply["choices"][0]["message"]["content"]

    def test_it_answers_in_sensible_english(self):
        # Questions whose answers do not hang on a near-tie between two tokens, so that rounding cannot turn them.
        self.assertIn("4", self.ask("What is 2+2?"))
        colors = self.ask("Name the three primary colors.")
        self.assertTrue(all(color in colors for color in ("Red", "Blue", "Yellow")), colors)

    def test_an_answer_does_not_depend_on_the_company(self):
        prompts = [f"Here is a story about {who}." for who in ("a bear", "a king", "two sisters", "the sea")]
        fields = {"max_tokens": 24, "temperature": 1, "seed": 9}
        alone = [self.complete(prompt=prompt, **fields)["choices"][0]["text"] for prompt in prompts]
        self.assertEqual(len(set(alone)), len(alone))
        together = self.complete(prompt=prompts, **fields)["choices"]
        self.assertEqual([choice["text"] for choice in together], alone)


if __name__ == "__main__":
    harness.main()
