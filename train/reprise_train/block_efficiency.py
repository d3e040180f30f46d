"""Tokens that a pass of the target gives with a draft (DistillSpec's block efficiency), on the target's text.

    python -m reprise_train.block_efficiency --target TARGET --drafts a/draft b/draft --held-out tales=states

The text must be the target's, written at the temperature that is measured: greedy for 0. What is accepted of
a draft then follows the text, so each token x is accepted with probability [argmax q = x] at temperature 0,
and else min(1, q(x) / p(x)), and the passes that a text takes are an expectation that needs no sampling.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from reprise_train.base_model import Base, load_base
from reprise_train.cli import command_parser, exit_on_error
from reprise_train.draft_model import Draft, load_draft
from reprise_train.errors import UsageError
from reprise_train.files import write_json
from reprise_train.hidden_data import HiddenSequence, collate, load_hidden
from reprise_train.loop_flags import set_threads
from reprise_train.shared_head import SharedHead


def expected_passes(accepted: list[float], draft_tokens: int) -> float:
    """Passes that write a text whose token i is accepted with probability accepted[i], if it is reached.

    A pass verifies up to `draft_tokens` tokens and writes one more than it accepts. Backwards over the text:
    N(i) = 1 + sum_k P(exactly k accepted from i on) N(i + k + 1).
    """
    end = len(accepted)
    passes = [0.0] * (end + draft_tokens + 2)  # nothing is left to write behind the end
    for first in range(end - 1, -1, -1):
        reached, expected = 1.0, 1.0
        for token in range(first, min(first + draft_tokens, end)):
            expected += reached * (1 - accepted[token]) * passes[token + 1]
            reached *= accepted[token]
        passes[first] = expected + reached * passes[first + draft_tokens + 1]
    return passes[0]


@torch.no_grad()
def acceptance(draft: Draft, head: SharedHead, sequence: HiddenSequence, temperature: float) -> list[float]:
    """Of each token of the answer but the first, which the prompt's pass gives."""
    batch = collate([sequence])
    tokens = torch.cat((batch.first[:, None], batch.tokens), dim=1)
    student = head.draft_logits(draft(head.embed(tokens))[:, 1:][batch.wanted]).float()
    written = F.pad(batch.tokens[:, 1:], (0, 1))[batch.wanted]
    if temperature == 0:
        return (head.draft_ids[student.argmax(-1)] == written).float().tolist()
    target = F.linear(batch.target_hidden[batch.wanted], head.full).float() / temperature
    return _ratio(student / temperature, target, written, head.draft_ids).tolist()


def _ratio(student: Tensor, target: Tensor, written: Tensor, draft_ids: Tensor) -> Tensor:
    """min(1, q(x) / p(x)) of the written tokens; 0 outside the draft vocabulary."""
    row = torch.searchsorted(draft_ids, written).clamp_max(len(draft_ids) - 1)
    log_q = student.log_softmax(-1).gather(1, row[:, None])[:, 0]
    log_p = target.log_softmax(-1).gather(1, written[:, None])[:, 0]
    return (log_q - log_p).exp().clamp_max(1) * (draft_ids[row] == written)


def measure(
    target: Base, folder: Path, sequences: list[HiddenSequence], temperature: float, draft_tokens: int
) -> list[tuple[int, float]]:
    """(tokens, expected passes) of each sequence. Raises TrainError when `folder` holds no such draft."""
    draft, draft_ids = load_draft(folder, target)
    head = SharedHead(target, draft_ids, torch.device("cpu"), bf16=False)
    rates = (acceptance(draft, head, sequence, temperature) for sequence in sequences)
    return [(len(rate), round(expected_passes(rate, draft_tokens), 4)) for rate in rates]


def named_folders(arguments: list[str]) -> dict[str, Path]:
    """NAME=DIR of each argument. Raises UsageError."""
    folders = {}
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        if not name or not equals or not folder or name in folders:
            raise UsageError(f"--held-out wants NAME=DIR, each name once, not '{argument}'")
        folders[name] = Path(folder)
    return folders


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser(
        "python -m reprise_train.block_efficiency",
        "Measure the tokens that a target pass gives with each of some drafts.",
    )
    add = parser.add_argument
    add("--target", type=Path, required=True, help="Hugging Face directory or GGUF file")
    add("--drafts", type=Path, nargs="+", required=True, metavar="DIR", help="made by reprise_train.distil")
    add("--held-out", nargs="+", required=True, metavar="NAME=DIR", help="from reprise extract, by category")
    add("--temperature", type=float, default=0.0, help="of the text and of decoding")
    add("--draft-tokens", type=int, default=4, help="drafted in each pass (gamma)")
    add("--max-length", type=int, default=640, help="longest sequence; what is longer is cut")
    add("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    add("--out", type=Path, metavar="FILE.json", help="[tokens, passes] of each sequence of each category")
    options = parser.parse_args(arguments)
    if options.temperature < 0 or options.draft_tokens < 1:
        raise UsageError("--temperature must be at least 0 and --draft-tokens at least 1")
    set_threads(options.threads)
    target = load_base(options.target)
    folders = named_folders(options.held_out)
    held_out = {name: load_hidden(folder, options.max_length) for name, folder in folders.items()}
    rows: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for folder in options.drafts:
        rows[str(folder)] = {
            name: measure(target, folder, sequences, options.temperature, options.draft_tokens)
            for name, sequences in held_out.items()
        }
        for name, measured in rows[str(folder)].items():
            efficiency = sum(tokens for tokens, _ in measured) / sum(passes for _, passes in measured)
            print(f"{folder} {name} {efficiency:.3f}", file=sys.stderr)
    if options.out:
        figures = {"temperature": options.temperature, "draft_tokens": options.draft_tokens, "drafts": rows}
        write_json(options.out, figures)


if __name__ == "__main__":
    exit_on_error(main)
