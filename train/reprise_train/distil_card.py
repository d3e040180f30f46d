"""The model card of a distilled draft."""

from __future__ import annotations

from reprise_train.base_model import Base
from reprise_train.draft_model import Draft
from reprise_train.loop import Loop
from reprise_train.report import duration
from reprise_train.speedup import block_efficiency
from reprise_train.validation import Agreement, interval, thinned

_DRAFT_TOKENS = 4
_START = {"target": "the target's first {} layer(s)", "random": "random weights"}


def draft_card(
    target: Base, draft: Draft, draft_vocab: int, loop: Loop, result: Agreement, command: str
) -> str:
    """Markdown: what it is, how it was trained, how well it guesses."""
    identity, position = loop.settings.identity, loop.position
    low, high = interval(result.by_sequence)
    slots = sum(count for _, count in result.by_sequence)
    records = [record for record in loop.log.read() if record["kind"] == "eval"]
    growth = "\n".join(
        f"| {record['tokens'] / 1e6:.2f} | {record['agreement_1']:.3f} | {record['acceptance_1']:.3f} |"
        for record in thinned(records, 10)
    )
    greedy, accepted = result.greedy[0], result.accepted[0]
    return f"""# Draft for {target.name}

{len(draft.layers)} decoder layer(s), {draft.num_parameters() / 1e6:.2f} M parameters, distilled as in DistillSpec (arXiv 2310.08461) to draft for {target.name} in
speculative decoding. Embedding and head are the target's and are not stored here. Drafts come from {draft_vocab} of {target.config.vocab_size} ids.

| | |
|---|---|
| target | {target.name}, `base_sha256` {target.fingerprint()} |
| start | {_START.get(identity["init"], f"the trained draft {identity['init']}").format(len(draft.layers))} |
| trained on | {position.tokens / 1e6:.2f} M answer tokens; on-policy share {identity["on_policy"]:g} at temperature {identity["sample_temperature"]:g}, the rest written by the target |
| steps, time | {position.step}, {duration(position.active_seconds)}; the first {identity["sft_steps"]} by cross-entropy |
| objective | {identity["divergence"]}, temperature {" and ".join(f"{t:g}" for t in identity["temperatures"])} |
| optimiser | {identity["optimiser"]}, learning rate {identity["lr"]:g} → {identity["min_lr"]:g}, {identity["batch_tokens"]} tokens a step, weight decay {identity["weight_decay"]:g} |

```
{command}
```

## Quality

These bf16 weights on {slots} held-out slots of {len(result.by_sequence)} answers of the target. Tokens outside the draft vocabulary count as
misses ({result.coverage:.1%} are inside).

| | rate | tokens a target pass at {_DRAFT_TOKENS} drafted, if all were accepted alike |
|---|---|---|
| greedy: the draft's best token is the target's | {greedy:.3f} (95 % interval {low:.3f} to {high:.3f}) | {block_efficiency(greedy, _DRAFT_TOKENS):.2f} |
| temperature 1: mean of sum min(p, q) | {accepted:.3f} | {block_efficiency(accepted, _DRAFT_TOKENS):.2f} |

Along the run, on the same slots:

| M tokens | greedy | accepted |
|---|---|---|
{growth}
"""
