"""Recycle modules: what a slot may see, chains, whole runs, refused files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import CONFIG, greedy, write_base, write_hidden

from reprise_train import checkpoint, recycle
from reprise_train.base_model import load_base
from reprise_train.errors import TrainError, UsageError
from reprise_train.hidden_data import HiddenBatches, collate, load_hidden, most_frequent
from reprise_train.loop import Loop
from reprise_train.recycle_export import load_module
from reprise_train.recycle_module import ModuleConfig, RecycleModule
from reprise_train.report import Log
from reprise_train.shared_head import SharedHead
from reprise_train.validation import Validation

FLAGS = (
    "--draft-vocab 40 --batch-tokens 160 --lr 5e-3 --warmup-steps 4 --threads 1 --fp32 --log-steps 5"
    " --eval-steps 20"
)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Flags that name a base, its hidden states and held-out ones."""
    decoder = write_base(tmp_path / "base")
    write_hidden(tmp_path / "hidden", decoder, 40, seed=1)
    write_hidden(tmp_path / "held-out", decoder, 12, seed=2)
    paths = f"--base {tmp_path}/base --hidden {tmp_path}/hidden --validation {tmp_path}/held-out"
    return [*paths.split(), *FLAGS.split()]


def module_inputs(slots: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, slots, CONFIG.hidden_size, generator=generator) for _ in range(2))


@torch.no_grad()
def test_a_slot_sees_only_the_slots_before_it() -> None:
    torch.manual_seed(1)
    module = RecycleModule(ModuleConfig(CONFIG, num_layers=2))
    hidden, embedded = module_inputs(8)
    whole = module(hidden, embedded)
    later = embedded.clone()
    later[:, 5] += 1
    changed = module(hidden, later)
    torch.testing.assert_close(changed[:, :5], whole[:, :5])
    assert (changed[:, 5:] - whole[:, 5:]).abs().amax(dim=(0, 2)).min() > 1e-4


@torch.no_grad()
def test_a_chain_in_training_equals_one_drafted_token_by_token() -> None:
    torch.manual_seed(2)
    module = RecycleModule(ModuleConfig(CONFIG, num_layers=2))
    hidden, embedded = module_inputs(7)
    depths = module.chain(hidden, embedded, 3)
    for last in range(2, 7):  # slots up to last - 2 have true hidden states; the next two recycle outputs
        fed = hidden[:, : last + 1].clone()
        for slot in (last - 1, last):
            fed[:, slot] = module(fed[:, :slot], embedded[:, :slot])[:, -1]
        drafted = module(fed, embedded[:, : last + 1])[:, -1]
        torch.testing.assert_close(depths[2][:, last], drafted, rtol=1e-4, atol=1e-5)


def test_collate_lines_up_slots_tokens_and_targets(data: list[str], tmp_path: Path) -> None:
    sequences = load_hidden(tmp_path / "hidden", 64)
    assert len(sequences) == 40 and sequences[0].answer_start == 4
    batch = collate([sequences[0], sequences[1]])
    first = sequences[0]
    for slot in range(len(first) - 1):
        assert torch.equal(batch.hidden[0, slot], first.hidden[slot])
        assert batch.tokens[0, slot] == first.tokens[slot + 1]
        assert torch.equal(batch.target_hidden[0, slot], first.hidden[slot + 1])
    guessed = [slot + 2 for slot in range(len(first) - 1) if batch.wanted[0, slot]]
    assert guessed == list(range(5, len(first)))  # all of the answer but its first token


def test_batches_cover_each_sequence_once_an_epoch(data: list[str], tmp_path: Path) -> None:
    sequences = load_hidden(tmp_path / "hidden", 64)
    batches = HiddenBatches(sequences, 160, seed=3)
    seen = [tuple(row.tolist()) for i in range(batches.batches_in_epoch) for row in batches.batch(i).tokens]
    assert sorted(seen) == sorted(tuple(sequence.tokens[1:].tolist()) for sequence in sequences)
    assert all(batches.batch(i).tokens.numel() <= 160 for i in range(batches.batches_in_epoch))
    again = HiddenBatches(sequences, 160, seed=3)
    assert torch.equal(again.batch(2).tokens, batches.batch(2).tokens)


def test_most_frequent_ids_ascend() -> None:
    assert most_frequent(torch.tensor([1, 5, 0, 5, 2]), 3).tolist() == [1, 3, 4]


def test_a_run_learns_and_exports_what_it_measured(data: list[str], tmp_path: Path) -> None:
    recycle.main([*data, "--out", str(tmp_path / "run"), "--steps", "60"])
    evaluations = [r for r in Log(tmp_path / "run").read() if r["kind"] in ("eval", "end")]
    assert evaluations[-1]["agreement_1"] > 0.5
    base = load_base(tmp_path / "base")
    module, ids = load_module(tmp_path / "run" / "module", base)
    assert len(ids) == 40 and (ids.diff() > 0).all()
    head = SharedHead(base, ids, torch.device("cpu"), bf16=True)
    result = Validation(load_hidden(tmp_path / "held-out", 64), head, torch.device("cpu")).measure(
        lambda batch, depth: module.chain(batch.hidden, head.embed(batch.tokens), depth), depth=1
    )
    assert round(result.greedy[0], 4) == evaluations[-1]["agreement_1"]
    config = json.loads((tmp_path / "run" / "module" / "config.json").read_text())
    assert config["architectures"] == ["RepriseRecycleModule"] and config["draft_vocab_size"] == 40
    assert config["base_sha256"] == base.fingerprint()


def test_validation_counts_what_a_perfect_guesser_gets(data: list[str], tmp_path: Path) -> None:
    base = load_base(tmp_path / "base")
    sequences = load_hidden(tmp_path / "held-out", 64)
    device = torch.device("cpu")
    every = SharedHead(base, torch.arange(64), device, bf16=False)
    perfect = Validation(sequences, every, device).measure(
        lambda batch, depth: [batch.target_hidden] * depth, 2
    )
    assert perfect.greedy == [1.0, 1.0] and perfect.coverage == 1.0
    assert perfect.accepted == pytest.approx([1.0, 1.0], abs=1e-5)
    some = SharedHead(base, torch.arange(0, 64, 2), device, bf16=False)
    half = Validation(sequences, some, device).measure(lambda batch, depth: [batch.target_hidden], 1)
    assert half.greedy[0] == pytest.approx(half.coverage)  # what cannot be drafted is a miss
    assert 0 < half.coverage < 1 and half.accepted[0] < 1


def test_resumed_run_equals_uninterrupted_run(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*data, "--unroll", "2", "--noise", "0.05", "--steps", "25"]
    recycle.main([*flags, "--out", str(tmp_path / "whole")])
    cut = [*flags, "--out", str(tmp_path / "cut"), "--checkpoint-minutes", "0"]
    step = Loop._step

    def dying(loop: Loop, progress: float, lr: float) -> tuple[float, float]:
        if loop.position.step == 13:
            raise KeyboardInterrupt
        return step(loop, progress, lr)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", dying)
        recycle.main(cut)
    assert checkpoint.load(tmp_path / "cut")["position"]["step"] == 13
    with pytest.raises(TrainError, match="add --resume"):
        recycle.main(cut)
    with pytest.raises(TrainError, match="another noise"):
        recycle.main([*cut, "--noise", "0", "--resume"])
    recycle.main([*cut, "--resume"])
    whole, resumed = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "cut")
    assert resumed["position"]["step"] == whole["position"]["step"] == 25
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name


def test_start_from_the_base_beats_a_random_start(data: list[str], tmp_path: Path) -> None:
    for init in ("base", "random"):
        recycle.main([*data, "--out", str(tmp_path / init), "--steps", "2", "--init", init])
    loss = {init: Log(tmp_path / init).read()[-1]["loss"] for init in ("base", "random")}
    assert loss["base"] < loss["random"]


def test_a_module_goes_on_where_another_run_ended(data: list[str], tmp_path: Path) -> None:
    recycle.main([*data, "--out", str(tmp_path / "one"), "--steps", "60"])
    first = Log(tmp_path / "one").read()[-1]
    start = ["--start", str(tmp_path / "one" / "module"), "--draft-vocab", "20", "--unroll", "2"]
    recycle.main(
        [*data, *start, "--out", str(tmp_path / "two"), "--steps", "1", "--lr", "1e-9", "--min-lr", "0"]
    )
    second = Log(tmp_path / "two").read()[-1]
    assert second["agreement_1"] == pytest.approx(first["agreement_1"], abs=0.02)
    module, ids = load_module(tmp_path / "two" / "module", load_base(tmp_path / "base"))
    assert len(ids) == 40 and module.config.max_draft_tokens == 2
    with pytest.raises(UsageError, match="--layers 2"):
        recycle.main([*data, *start, "--layers", "2", "--out", str(tmp_path / "three"), "--steps", "1"])


def test_a_module_of_another_base_is_refused_with_both_fingerprints(data: list[str], tmp_path: Path) -> None:
    recycle.main([*data, "--out", str(tmp_path / "run"), "--steps", "1"])
    write_base(tmp_path / "other", seed=7)
    mine, other = load_base(tmp_path / "base"), load_base(tmp_path / "other")
    with pytest.raises(TrainError) as caught:
        load_module(tmp_path / "run" / "module", other)
    assert mine.fingerprint() in str(caught.value) and other.fingerprint() in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--jsd-beta 1", "--jsd-beta"),
        ("--temperature 0", "--temperature"),
        ("--noise -1", "--noise"),
        ("--layers 0", "num_layers"),
        ("--unroll 0", "max_draft_tokens"),
        ("--batch-tokens 0", "--batch-tokens"),
    ],
)
def test_impossible_flags(data: list[str], tmp_path: Path, flags: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recycle.main([*data, "--out", str(tmp_path / "run"), "--steps", "1", *flags.split()])
    assert not (tmp_path / "run").exists()


def test_damaged_input_is_named(data: list[str], tmp_path: Path) -> None:
    run = [*data, "--out", str(tmp_path / "run"), "--steps", "1"]
    shard = tmp_path / "hidden" / "hidden-00001.safetensors"
    contents = shard.read_bytes()
    shard.write_bytes(contents[: len(contents) // 2])
    with pytest.raises(TrainError, match="hidden was not made by reprise extract"):
        recycle.main(run)
    shard.unlink()
    with pytest.raises(TrainError, match="more tokens than hidden states"):
        recycle.main(run)
    shard.write_bytes(contents)
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, tmp_path / "base" / "model.safetensors")
    with pytest.raises(TrainError, match="norm.weight holds values that are not finite"):
        recycle.main(run)
    assert not (tmp_path / "run").exists()


def test_a_greedy_answer_is_the_argmax_of_its_hidden_states(data: list[str], tmp_path: Path) -> None:
    decoder = write_base(tmp_path / "again")
    sequence = load_hidden(tmp_path / "hidden", 64)[0]
    ids = greedy(decoder, sequence.tokens[None, :4], 16)[0]
    assert torch.equal(ids, sequence.tokens)
