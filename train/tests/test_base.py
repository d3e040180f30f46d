"""Whole runs: resume, budgets, signals, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from reprise_train import base, checkpoint, export
from reprise_train.base_model import load_base
from reprise_train.budget import Budget, LengthSchedule, parse_time
from reprise_train.checkpoint import Position
from reprise_train.errors import TrainError, UsageError
from reprise_train.joint import JointModel
from reprise_train.loop import Loop
from reprise_train.model import Decoder, ModelConfig
from reprise_train.optim import learning_rate, orthogonalise
from reprise_train.recycle_export import load_module
from reprise_train.report import Log


def train(flags: list[str], out: Path, *more: str) -> dict:
    base.main([*flags, "--out", str(out), *more])
    return checkpoint.load(out)


def make_random(monkeypatch: pytest.MonkeyPatch, dies_at: int | None = None) -> None:
    """Makes each step draw a random number, as dropout would; optionally a run dies, unsaved, at a step."""
    step = Loop._step

    def stepping(loop: Loop, progress: float, lr: float) -> tuple[float, float]:
        if loop.position.step == dies_at:
            raise KeyboardInterrupt
        return step(loop, progress, lr * torch.empty(()).uniform_(0.9, 1.1).item())

    monkeypatch.setattr(Loop, "_step", stepping)


def test_resumed_run_equals_uninterrupted_run(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        make_random(patch)
        whole = train(tiny, tmp_path / "whole", "--steps", "30")
    with monkeypatch.context() as patch:
        make_random(patch, dies_at=17)  # in the longer sequences, off every reporting interval
        with pytest.raises(KeyboardInterrupt):
            train(tiny, tmp_path / "cut", "--steps", "30", "--checkpoint-minutes", "0")
    assert checkpoint.load(tmp_path / "cut")["position"]["step"] == 17
    torch.manual_seed(99)
    with monkeypatch.context() as patch:
        make_random(patch)
        resumed = train(tiny, tmp_path / "cut", "--steps", "30", "--resume")
    assert resumed["position"]["step"] == whole["position"]["step"] == 30
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name
    assert torch.equal(whole["torch_rng"], resumed["torch_rng"])
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
        if '"kind": "step"' in line
    ]
    assert steps == sorted(set(steps)) and steps[-1] == 30


def test_a_rewound_log_forgets_what_will_be_done_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in (0, 2, 4, 6):
        log.add("step", step=step)
    with open(log.path, "a") as file:
        file.write('{"kind": "st')  # cut short by a kill
    log.rewind(4)
    log.add("resume", step=4)
    assert [(r["kind"], r["step"]) for r in log.read()] == [*(("step", s) for s in (0, 2, 4)), ("resume", 4)]


def test_a_run_learns_and_reports(tiny: list[str], tmp_path: Path) -> None:
    train(tiny, tmp_path / "run", "--steps", "120")
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "eval"]
    assert losses[-1] < losses[0] - 0.5
    end = records[-1]
    assert (
        end["kind"] == "end" and end["tokens"] == 120 * 128 and abs(end["held_out_loss"] - losses[-1]) < 0.1
    )
    ET.parse(tmp_path / "run" / "loss.svg")
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "--out run" in card and str(tmp_path) not in card and "THE BOOK NUMBER" in card


def test_a_time_budget_ends_with_the_decay_done(tiny: list[str], tmp_path: Path) -> None:
    begin = time.time()
    train(tiny, tmp_path / "run", "--minutes", "0.05", "--min-lr", "0")
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    rates = [record["lr"] for record in records if record["kind"] == "step"]
    assert 3 <= time.time() - begin < 30 and rates[-1] < 0.1 * max(rates)


def test_sigterm_leaves_a_checkpoint_to_resume(tiny: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "reprise_train.base", *tiny, "--out", str(out), "--steps", "1000000"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    for line in process.stderr:
        if "tokens/s" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with --resume" in errors
    assert checkpoint.load(out)["position"]["step"] > 0 and not (out / "model").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "exactly one of"),
        (["--steps", "5", "--tokens", "9"], "exactly one of"),
        (["--steps", "0"], "above 0"),
        (["--steps", "5", "--hidden", "30"], "not a multiple of num_heads"),
        (["--steps", "5", "--kv-heads", "3"], "not a multiple of num_kv_heads"),
        (["--steps", "5", "--batch-tokens", "100"], "not a multiple of 32"),
        (["--steps", "5", "--max-positions", "16"], "below 32"),
        (["--steps", "5", "--seq-len", "10,32@0.5"], "divide the longest"),
        (["--steps", "5", "--seq-len", "16@0.5,32@0.2"], "shares must rise"),
        (["--until", "2001-01-01"], "in the past"),
        (["--until", "soon"], "wants a time"),
        (["--steps", "5", "--vocab-size", "100"], "at least 257"),
    ],
)
def test_impossible_flags_write_nothing(
    tiny: list[str], tmp_path: Path, flags: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        base.main([*tiny, "--out", str(tmp_path / "run"), *flags])
    assert not (tmp_path / "run").exists()


def test_too_little_text_writes_nothing(tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="less than a batch"):
        base.main([*tiny, "--out", str(tmp_path / "run"), "--steps", "5", "--batch-tokens", "1048576"])
    assert not (tmp_path / "run").exists()


def test_errors_are_one_line_with_a_status(tiny: list[str], tmp_path: Path) -> None:
    def run(*flags: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "reprise_train.base", "--out", str(tmp_path / "run"), *flags],
            capture_output=True,
            text=True,
        )

    missing, usage = run("--data", "nowhere.txt", "--steps", "3"), run(*tiny)
    assert (missing.returncode, missing.stderr) == (1, "error: no such file: nowhere.txt\n")
    assert (
        usage.returncode == 2
        and usage.stderr.startswith("error: give exactly one")
        and usage.stderr.count("\n") == 1
    )


def test_runs_are_not_mixed_up(tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no checkpoint"):
        train(tiny, tmp_path / "run", "--steps", "4", "--resume")
    train(tiny, tmp_path / "run", "--steps", "4")
    with pytest.raises(TrainError, match="already holds a run"):
        train(tiny, tmp_path / "run", "--steps", "4")
    with pytest.raises(TrainError, match="another lr"):
        train(tiny, tmp_path / "run", "--steps", "8", "--resume", "--lr", "1e-4")
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"cut short")
    with pytest.raises(TrainError, match="cannot read"):
        train(tiny, tmp_path / "run", "--steps", "8", "--resume")


def test_budgets_measure_progress() -> None:
    position = Position(step=5, tokens=640, started=100.0, deadline=200.0, active_seconds=10.0)
    assert Budget(steps=10).progress(position, 0) == 0.5
    assert Budget(tokens=1280).progress(position, 0) == 0.5
    assert Budget(until=200.0).progress(position, 175.0) == 0.75
    assert Budget(minutes=2).deadline(100.0) == 220.0
    assert Budget(steps=10).seconds_left(Position(step=5, active_seconds=10.0), 0) == 10.0
    assert parse_time("1970-01-01T01:00:00+01:00") == parse_time("1970-01-01") == 0


def test_lengths_follow_progress() -> None:
    lengths = LengthSchedule.parse("256@0,512@0.4,1024@0.8")
    assert [lengths.at(progress) for progress in (-0.1, 0, 0.39, 0.4, 0.8, 1.2)] == [
        256,
        256,
        256,
        512,
        1024,
        1024,
    ]
    assert LengthSchedule.parse("64").longest == 64


def test_learning_rate_warms_up_and_decays() -> None:
    assert learning_rate(1.0, 0.1, 0, 10, 0.0) == pytest.approx(0.1)
    assert learning_rate(1.0, 0.1, 10, 10, 0.5) == pytest.approx(0.55)
    assert learning_rate(1.0, 0.1, 99, 10, 1.3) == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(2, 32, 64), (1, 64, 32), (3, 32, 32)])
def test_orthogonalise_levels_singular_values(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
    assert values.min() > 0.4 and values.max() < 1.4


def test_joint_training_exports_a_module_of_the_model(tiny: list[str], tmp_path: Path) -> None:
    flags = [*tiny, "--recycle-layers", "1", "--recycle-vocab", "100"]
    train(flags, tmp_path / "run", "--steps", "30")
    trained_for = load_base(tmp_path / "run" / "model")
    module, draft_ids = load_module(tmp_path / "run" / "recycle", trained_for)
    assert len(draft_ids) == 100 and module.num_parameters() > 0
    early = tmp_path / "early"
    export.main(["--run", str(tmp_path / "run"), "--to", str(early)])
    assert load_base(early).fingerprint() == trained_for.fingerprint()


def test_the_modules_loss_reaches_the_base() -> None:
    torch.manual_seed(1)
    config = ModelConfig(64, 32, 2, 4, 2, 48, 32)
    model = JointModel(Decoder(config), layers=1, weight=1.0)
    ids = torch.randint(0, 64, (2, 17))
    hidden, recycled = model.outputs(ids[:, :-1])
    assert recycled.shape == (2, 15, 32)  # slot 0 has no hidden state before it
    recycled.sum().backward()
    assert model.base.layers[0].ffn.down.weight.grad.abs().max() > 0
    plain, joint = model.base.loss(ids[:, :-1], ids[:, 1:]), model.loss(ids[:, :-1], ids[:, 1:])
    assert joint > plain
    model.weight = 0.0
    torch.testing.assert_close(model.loss(ids[:, :-1], ids[:, 1:]), plain)
