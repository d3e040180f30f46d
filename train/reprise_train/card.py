"""The model card: what was trained, on what, how well it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from reprise_train.report import duration


@dataclass(frozen=True)
class Results:
    """The figures of a finished run. Losses are nats a token, of the exported bf16 weights on held-out text."""

    parameters: int
    steps: int
    tokens: int
    epochs: float
    active_seconds: float
    window: int
    held_out_tokens: int
    tested_tokens: int
    held_out_loss: float
    perplexity: float
    bits_per_byte: float
    loss_by_position: list[float]
    prompt: str
    sample: str

    def to_dict(self) -> dict:
        return asdict(self)


def _joint_training(settings: dict) -> str:
    """A sentence about the recycle module that the model was trained with; nothing where there was none."""
    if settings["recycle_layers"] == 0:
        return ""
    return (
        f"Trained jointly with a recycle module of {settings['recycle_layers']} layer(s), as in RecycleGPT "
        "(arXiv 2308.03421): the loss is the\nsum of both cross-entropies, the module's with weight "
        f"{settings['recycle_weight']:g}.\n"
    )


def model_card(settings: dict, facts: dict, results: Results, command: str) -> str:
    """Markdown with the front matter that model hubs read."""
    model = settings["model"]
    eighth = results.window // len(results.loss_by_position)
    positions = " | ".join(
        f"{i * eighth}–{(i + 1) * eighth - 1}" for i in range(len(results.loss_by_position))
    )
    rule = "|".join("---" for _ in results.loss_by_position)
    losses = " | ".join(f"{loss:.3f}" for loss in results.loss_by_position)
    titles = "\n".join(f"- {title}" for title in facts["held_out_titles"])
    return f"""---
language: en
library_name: transformers
pipeline_tag: text-generation
---

# A small teller of tales

A {results.parameters / 1e6:.2f} M-parameter language model trained from scratch on fairy tales and children's books. It is here so that
Reprise runs, can be tested and can be tried without a download. It continues English prose; it knows nothing and follows no instructions.

| | |
|---|---|
| architecture | Llama (`LlamaForCausalLM`): RMSNorm, rotary positions, SwiGLU, grouped-query attention, tied embedding, no biases |
| sizes | width {model["hidden_size"]}, {model["num_layers"]} layers, {model["num_heads"]} heads of {model["hidden_size"] // model["num_heads"]}, {model["num_kv_heads"]} key-value heads, feed-forward {model["ffn_size"]}, {model["max_positions"]} positions |
| weights | bf16 |
| tokenizer | byte-level BPE, {model["vocab_size"]} entries, GPT-2's pre-tokenisation; `<|endoftext|>` (id 0) begins and ends a document; learnt on the training books alone |

## Data

`{facts["file"]}`: {facts["books"]} books of Project Gutenberg, in the public domain in the United States; the weights
come under the licence of the software that they are part of.
SHA-256 of the text: `{facts["sha256"]}`.
Indentation, rules and licence texts are removed; books are cut into documents at their headings. Training books: {facts["train_bytes"] / 1e6:.1f} MB in {facts["train_documents"]}
documents. Held out, as whole books with all their editions in the collection ({facts["held_out_bytes"] / 1e6:.1f} MB):

{titles}

## Training

{results.steps} steps, {results.tokens / 1e6:.1f} M tokens ({results.epochs:.2f} passes over the text), {duration(results.active_seconds)} of training steps on a CPU.
Muon for the matrices of the layers, AdamW for embedding and norms; {settings["batch_tokens"]} tokens a step; learning rate {settings["lr"]:g} after {settings["warmup_steps"]} steps of
warm-up, cosine to {settings["min_lr"]:g}; weight decay {settings["weight_decay"]:g}. Sequence lengths, each with the share of the run at which it starts: `{settings["seq_len"]}`.
{_joint_training(settings)}
```
{command}
```

## Quality

These weights on {results.tested_tokens} of the {results.held_out_tokens} held-out tokens, in windows of {results.window} that start afresh,
evenly spaced:

| loss, nats a token | perplexity | bits a byte |
|---|---|---|
| {results.held_out_loss:.4f} | {results.perplexity:.2f} | {results.bits_per_byte:.4f} |

Loss by position in the window:

| {positions} |
|{rule}|
| {losses} |

A sample (temperature 0.8, top-p 0.95, seed {settings["seed"]}), after the prompt in bold:

> **{results.prompt}**{results.sample.replace(chr(10), chr(10) + "> ")}

## Limits

- Text of the nineteenth and early twentieth century, with the views of its time; nothing filters what the model says.
- Grammatical for a sentence or two; names, plots and facts drift.
- English only. Not beyond {model["max_positions"]} tokens of context.
- The chat template only joins messages by blank lines: this is not an assistant.
"""
