"""Drafts: the sampler, on-policy data, whole runs, early stop, sweep."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from tiny_base import CONFIG, END, write_base, write_hidden

from reprise_train import checkpoint, distil
from reprise_train.base_model import load_base
from reprise_train.distil_task import DistilTask, Objective, Patience
from reprise_train.draft_model import Draft, export_draft, load_draft
from reprise_train.errors import TrainError, UsageError
from reprise_train.hidden_data import load_hidden
from reprise_train.loop import Loop
from reprise_train.report import Log
from reprise_train.sampler import DraftSampler
from reprise_train.shared_head import SharedHead
from reprise_train.speedup import best_speedup, block_efficiency
from reprise_train.validation import Validation

CPU = torch.device("cpu")
FLAGS = (
    "--layers 1 --draft-vocab 40 --batch-tokens 160 --lr 5e-3 --warmup-steps 4 --threads 1 --fp32"
    " --log-steps 5 --eval-steps 20 --sample-tokens 8"
)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    decoder = write_base(tmp_path / "base")
    write_hidden(tmp_path / "hidden", decoder, 40, seed=1)
    write_hidden(tmp_path / "held-out", decoder, 12, seed=2)
    paths = f"--target {tmp_path}/base --hidden {tmp_path}/hidden --validation {tmp_path}/held-out"
    return [*paths.split(), *FLAGS.split()]


def prompts(count: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
    return [torch.randint(1, CONFIG.vocab_size, (length,), generator=generator) for length in lengths]


@torch.no_grad()
def test_the_sampler_writes_what_the_draft_says_token_by_token(data: list[str], tmp_path: Path) -> None:
    base = load_base(tmp_path / "base")
    torch.manual_seed(3)
    draft = Draft(base, 2)
    head = SharedHead(base, torch.arange(1, 64, 2), CPU, bf16=False)
    written = DraftSampler(draft, head, ()).sample(prompts(), 6, 0.0, torch.Generator())
    for prompt, ids in zip(prompts(), written, strict=True):
        assert len(ids) == len(prompt) + 6 and torch.equal(ids[: len(prompt)], prompt)
        for end in range(len(prompt), len(ids)):
            logits = head.draft_logits(draft(head.embed(ids[None, :end]))[0, -1:])
            assert ids[end] == head.draft_ids[logits.argmax()]


def test_samples_follow_the_distribution_and_stop_behind_a_stop_id(data: list[str], tmp_path: Path) -> None:
    base = load_base(tmp_path / "base")
    draft = Draft(base, 1)
    draft.start_from(base)
    head = SharedHead(base, torch.arange(64), CPU, bf16=False)
    prompt = torch.tensor([5, 9])
    drawn = DraftSampler(draft, head, ()).sample([prompt] * 4000, 1, 1.0, torch.Generator().manual_seed(1))
    counts = torch.bincount(torch.stack(drawn)[:, 2], minlength=64) / 4000
    with torch.no_grad():
        expected = torch.softmax(head.draft_logits(draft(head.embed(prompt[None]))[0, -1:]), -1)[0]
    assert (counts - expected).abs().sum() < 0.12
    likely = int(expected.argmax())
    ended = DraftSampler(draft, head, (likely,)).sample([prompt], 8, 0.0, torch.Generator())[0]
    assert ended.tolist() == [5, 9, likely]


def make_task(tmp_path: Path, objective: Objective, batch_tokens: int = 160) -> DistilTask:
    base = load_base(tmp_path / "base")
    torch.manual_seed(1)
    draft = Draft(base, 1)
    head = SharedHead(base, torch.arange(64), CPU, bf16=False)
    train = load_hidden(tmp_path / "hidden", 64)
    validation = Validation(load_hidden(tmp_path / "held-out", 64), head, CPU)
    return DistilTask(
        draft,
        base,
        head,
        train,
        validation,
        objective,
        Patience(),
        batch_tokens,
        1,
        False,
        "adamw",
        1e-2,
        0.0,
    )


def test_on_policy_text_comes_from_the_student_as_it_is_now(data: list[str], tmp_path: Path) -> None:
    task = make_task(tmp_path, Objective(on_policy=1.0, sample_temperature=0.0, sample_tokens=8))

    def answers_are_the_students() -> bool:
        batch = task.on_policy_batch(random.Random(5))
        tokens = torch.cat((batch.first[:, None], batch.tokens), dim=1)
        with torch.no_grad():
            best = task._head.draft_logits(task.model(task._head.embed(tokens))).argmax(-1)
        return torch.equal(best[:, 1:-1][batch.wanted[:, :-1]], tokens[:, 2:][batch.wanted[:, :-1]])

    before = task.on_policy_batch(random.Random(5)).tokens
    assert answers_are_the_students()
    for step in range(10):
        loss, _ = task.loss(step)
        loss.backward()
        for optimiser in task.optimisers:
            optimiser.step()
            optimiser.zero_grad()
    assert answers_are_the_students()
    after = task.on_policy_batch(random.Random(5)).tokens
    assert before.shape != after.shape or not torch.equal(before, after)


@torch.no_grad()
def test_on_policy_targets_are_the_targets_own_states(data: list[str], tmp_path: Path) -> None:
    task = make_task(tmp_path, Objective(on_policy=1.0, sample_tokens=8))
    batch = task.on_policy_batch(random.Random(6))
    decoder = write_base(tmp_path / "again")
    tokens = torch.cat((batch.first[:, None], batch.tokens), dim=1)
    expected = decoder.hidden(tokens)[:, 1:]
    torch.testing.assert_close(
        batch.target_hidden[batch.wanted], expected[batch.wanted], rtol=1e-4, atol=1e-4
    )


def test_divergences_at_several_temperatures_are_summed(data: list[str], tmp_path: Path) -> None:
    def loss(*temperatures: float) -> float:
        objective = Objective("tvd", temperatures=temperatures, on_policy=0.0)
        return make_task(tmp_path, objective).loss(0)[0].item()

    assert loss(1.0) != pytest.approx(loss(0.5))
    assert loss(1.0, 0.5) == pytest.approx(loss(1.0) + loss(0.5), rel=1e-5)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 10, 30), (1.0, 40, 40)])
def test_lambda_is_the_share_of_on_policy_steps(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, low: int, high: int
) -> None:
    task = make_task(tmp_path, Objective(on_policy=share, sample_tokens=4), batch_tokens=40)
    calls = 0
    on_policy_batch = DistilTask.on_policy_batch

    def counting(self: DistilTask, draw: random.Random):
        nonlocal calls
        calls += 1
        return on_policy_batch(self, draw)

    monkeypatch.setattr(DistilTask, "on_policy_batch", counting)
    for step in range(40):
        task.loss(step)
    assert low <= calls <= high


def test_a_run_learns_and_its_export_loads(data: list[str], tmp_path: Path) -> None:
    distil.main(
        [*data, "--out", str(tmp_path / "run"), "--steps", "60", "--on-policy", "0.3", "--sft-steps", "5"]
    )
    end = Log(tmp_path / "run").read()[-1]
    assert end["kind"] == "end" and end["agreement_1"] > 0.4
    base = load_base(tmp_path / "base")
    draft, ids = load_draft(tmp_path / "run" / "draft", base)
    assert len(draft.layers) == 1 and len(ids) == 40
    config = json.loads((tmp_path / "run" / "draft" / "config.json").read_text())
    assert config["architectures"] == ["RepriseDraft"] and config["shared"] == ["embedding", "head"]
    write_base(tmp_path / "other", seed=9)
    with pytest.raises(TrainError, match=base.fingerprint()):
        load_draft(tmp_path / "run" / "draft", load_base(tmp_path / "other"))


def test_all_layers_of_the_target_are_a_perfect_draft(data: list[str], tmp_path: Path) -> None:
    base = load_base(tmp_path / "base")
    draft = Draft(base, CONFIG.num_layers)
    draft.start_from(base)
    head = SharedHead(base, torch.arange(64), CPU, bf16=False)
    export_draft(draft, base, head.draft_ids, tmp_path / "draft", card="")
    result = Validation(load_hidden(tmp_path / "held-out", 64), head, CPU).measure(
        lambda batch, depth: [
            draft(head.embed(torch.cat((batch.first[:, None], batch.tokens), dim=1)))[:, 1:]
        ],
        1,
    )
    assert result.greedy[0] > 0.99 and result.accepted[0] > 0.999


def test_the_sweep_tries_all_and_the_run_takes_the_best(data: list[str], tmp_path: Path) -> None:
    flags = "--steps 5 --on-policy 0 --sweep 10 --decode greedy".split()
    distil.main([*data, *flags, "--out", str(tmp_path / "run")])
    records = Log(tmp_path / "run").read()
    trials = next(record for record in records if record["kind"] == "start")["trials"]
    assert sorted(trial["divergence"] for trial in trials) == ["fkl", "jsd", "rkl", "tvd"]
    assert trials[0]["speedup"] == max(trial["speedup"] for trial in trials)
    assert records[0]["divergence"] == trials[0]["divergence"]


def test_resumed_run_equals_uninterrupted_run(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*data, *"--steps 16 --on-policy 0.5 --sft-steps 3 --sweep 4".split()]
    distil.main([*flags, "--out", str(tmp_path / "whole")])
    cut = [*flags, "--out", str(tmp_path / "cut"), "--checkpoint-minutes", "0"]
    step = Loop._step

    def dying(loop: Loop, progress: float, lr: float) -> tuple[float, float]:
        if loop.position.step == 9:
            raise KeyboardInterrupt
        return step(loop, progress, lr)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", dying)
        distil.main(cut)
    distil.main([*cut, "--resume"])
    whole, resumed = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert resumed["position"]["step"] == whole["position"]["step"] == 16
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name


def test_early_stop_when_acceptance_no_longer_grows(data: list[str], tmp_path: Path) -> None:
    flags = "--steps 400 --on-policy 0 --eval-steps 5 --patience 2 --lr 1e-9 --min-lr 1e-9".split()
    distil.main([*data, *flags, "--out", str(tmp_path / "run")])
    assert Log(tmp_path / "run").read()[-1]["step"] < 100


def test_speedup_formulas() -> None:
    assert block_efficiency(0.0, 4) == 1 and block_efficiency(1.0, 4) == 5
    assert block_efficiency(0.5, 3) == pytest.approx((1 - 0.5**4) / 0.5)
    speedup, tokens = best_speedup(0.8, 0.05)
    assert speedup == pytest.approx(3.09, abs=0.01) and tokens == 8
    assert best_speedup(0.1, 0.5) == (1.0, 0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--on-policy 1.5", "--on-policy"),
        ("--layers 4", "--layers must be 1 to 3"),
        ("--sample-tokens 1", "--sample-tokens"),
        ("--jsd-beta 0", "--jsd-beta"),
    ],
)
def test_impossible_flags(data: list[str], tmp_path: Path, flags: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        distil.main([*data, "--out", str(tmp_path / "run"), "--steps", "1", *flags.split()])


def test_the_base_names_its_stop_id(data: list[str], tmp_path: Path) -> None:
    assert load_base(tmp_path / "base").stop_ids == (END,)


def test_a_draft_goes_on_where_another_run_ended(data: list[str], tmp_path: Path) -> None:
    run = [*data, "--on-policy", "0"]
    distil.main([*run, "--out", str(tmp_path / "one"), "--steps", "60"])
    first = Log(tmp_path / "one").read()[-1]
    start = ["--start", str(tmp_path / "one" / "draft"), "--draft-vocab", "20"]
    distil.main(
        [*run, *start, "--out", str(tmp_path / "two"), "--steps", "1", "--lr", "1e-9", "--min-lr", "0"]
    )
    second = Log(tmp_path / "two").read()[-1]
    assert second["agreement_1"] == pytest.approx(first["agreement_1"], abs=0.02)
    _, ids = load_draft(tmp_path / "two" / "draft", load_base(tmp_path / "base"))
    assert len(ids) == 40
    with pytest.raises(UsageError, match="--layers 2"):
        distil.main([*run, *start, "--layers", "2", "--out", str(tmp_path / "three"), "--steps", "1"])
