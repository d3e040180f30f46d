"""Block efficiency: the recursion against a simulation, and acceptance against its definition."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from tiny_base import CONFIG, write_base, write_hidden

from reprise_train import block_efficiency
from reprise_train.base_model import load_base
from reprise_train.block_efficiency import acceptance, expected_passes
from reprise_train.draft_model import Draft, export_draft
from reprise_train.errors import UsageError
from reprise_train.hidden_data import load_hidden
from reprise_train.shared_head import SharedHead


def simulated_passes(accepted: list[float], draft_tokens: int, draw: random.Random) -> int:
    position = passes = 0
    while position < len(accepted):
        passes += 1
        for rate in accepted[position : position + draft_tokens]:
            position += 1
            if draw.random() >= rate:
                break
        else:
            position += 1
    return passes


def test_expected_passes_are_those_of_the_process() -> None:
    assert expected_passes([1.0] * 10, 4) == 2  # five tokens each
    assert expected_passes([0.0] * 10, 4) == 10
    draw = random.Random(1)
    rates = [draw.random() for _ in range(23)]
    trials = [simulated_passes(rates, 3, draw) for _ in range(20_000)]
    assert expected_passes(rates, 3) == pytest.approx(sum(trials) / len(trials), abs=0.1)


@torch.no_grad()
def test_acceptance_follows_its_definition(tmp_path: Path) -> None:
    write_hidden(tmp_path / "states", write_base(tmp_path / "base"), 3)
    base = load_base(tmp_path / "base")
    torch.manual_seed(5)
    draft, head = Draft(base, 1), SharedHead(base, torch.arange(0, 64, 2), torch.device("cpu"), bf16=False)
    for sequence in load_hidden(tmp_path / "states", 64):
        ids, first = sequence.tokens, sequence.answer_start
        logits = head.draft_logits(draft(head.embed(ids[None]))[0]).float()
        greedy = head.draft_ids[logits.argmax(-1)]
        expected = [float(greedy[t] == ids[t + 1]) for t in range(first, len(ids) - 1)]
        assert acceptance(draft, head, sequence, 0.0) == expected
        p, q = (sequence.hidden @ base.head.T).softmax(-1), torch.zeros(len(ids), 64)
        q[:, head.draft_ids] = logits.softmax(-1)
        rows = range(first, len(ids) - 1)
        expected = [min(1.0, float(q[t, ids[t + 1]] / p[t, ids[t + 1]])) for t in rows]
        assert acceptance(draft, head, sequence, 1.0) == pytest.approx(expected, abs=1e-4)


def test_the_target_itself_is_a_draft_that_is_always_accepted(tmp_path: Path) -> None:
    write_hidden(tmp_path / "states", write_base(tmp_path / "base"), 4)
    base = load_base(tmp_path / "base")
    draft = Draft(base, CONFIG.num_layers)
    draft.start_from(base)
    export_draft(draft, base, torch.arange(64), tmp_path / "draft", card="")
    flags = [
        *("--target", str(tmp_path / "base"), "--drafts", str(tmp_path / "draft")),
        *("--held-out", f"all={tmp_path / 'states'}", "--out", str(tmp_path / "out.json")),
    ]
    block_efficiency.main([*flags, "--draft-tokens", "4"])
    rows = json.loads((tmp_path / "out.json").read_text())["drafts"][str(tmp_path / "draft")]["all"]
    assert rows == [[15, 3.0]] * 4
    with pytest.raises(UsageError, match="NAME=DIR"):
        block_efficiency.main([*flags[:5], "states"])
