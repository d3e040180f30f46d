"""The model card of a recycle module."""

from __future__ import annotations

from reprise_train.base_model import Base
from reprise_train.loop import Loop
from reprise_train.recycle_module import RecycleModule
from reprise_train.report import duration
from reprise_train.validation import Agreement, interval, thinned


def module_card(
    base: Base, module: RecycleModule, draft_vocab: int, loop: Loop, result: Agreement, command: str
) -> str:
    """Markdown: what it is, how it was trained, how well it guesses."""
    identity, position = loop.settings.identity, loop.position
    low, high = interval(result.by_sequence)
    slots = sum(count for _, count in result.by_sequence)
    rows = "\n".join(
        f"| {depth} | {greedy:.3f} | {accepted:.3f} |"
        for depth, (greedy, accepted) in enumerate(zip(result.greedy, result.accepted, strict=True), 1)
    )
    records = loop.log.read()
    different = max(record["train_tokens"] for record in records if record["kind"] in ("start", "resume"))
    growth = "\n".join(
        f"| {record['tokens'] / 1e6:.2f} | {record['loss']:.3f} | {record['agreement_1']:.3f} |"
        for record in thinned([record for record in records if record["kind"] == "eval"], 10)
    )
    return f"""# Recycle module for {base.name}

A RecycleGPT module ({module.num_parameters() / 1e6:.2f} M parameters, {module.config.num_layers} layer(s)) that guesses the next token from the hidden state that
the base has just computed. The base stays as it is and verifies every guess. Drafts come from {draft_vocab} of {base.config.vocab_size} ids.

| | |
|---|---|
| base | {base.name}, `base_sha256` {base.fingerprint()} |
| trained on | {position.tokens / 1e6:.2f} M answer tokens ({different / 1e6:.2f} M different ones, prompts of which count as context) written by the base itself |
| steps, time | {position.step}, {duration(position.active_seconds)} |
| objective | {identity["divergence"]}, temperature {identity["temperature"]:g}, feature weight {identity["feature_weight"]:g}, noise {identity["noise"]:g}, chains of {identity["depth"]} |
| optimiser | {identity["optimiser"]}, learning rate {identity["lr"]:g} → {identity["min_lr"]:g}, {identity["batch_tokens"]} tokens a step, weight decay {identity["weight_decay"]:g} |

```
{command}
```

## Quality

These bf16 weights on {slots} held-out slots of {len(result.by_sequence)} answers. Greedy: the module's best token is the base's own; tokens outside the
draft vocabulary count as misses ({result.coverage:.1%} are inside). Accepted: mean of sum min(p, q) at temperature 1. Rates at chain
position i are among the slots where the positions before were right.

| chain position | greedy | accepted |
|---|---|---|
{rows}

95 % interval of the first greedy rate, answers resampled: {low:.3f} to {high:.3f}.

Along the run, on the same slots:

| M tokens | FKL, nats | greedy |
|---|---|---|
{growth}
"""
