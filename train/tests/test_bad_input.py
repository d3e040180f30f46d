"""What is missing, damaged or does not fit ends in one clear line, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import write_base, write_hidden

from reprise_train import recycle
from reprise_train.errors import TrainError
from reprise_train.files import write_atomically
from reprise_train.report import Log


def edit_tensor(path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file(tensors, path)


def spoilt(tensor: torch.Tensor) -> torch.Tensor:
    tensor[0, 0] = torch.nan
    return tensor


def edit_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def name_a_token(path: Path, token: int) -> None:
    first, *others = path.read_text().splitlines()
    line = json.loads(first)
    line["tokens"][-2] = token
    path.write_text("\n".join([json.dumps(line), *others]))


UP_PROJECTION = "model.layers.1.mlp.up_proj.weight"
HIDDEN = "hidden-00000.safetensors"

CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda at: (at / "base/config.json").unlink(), "config.json"),
    "no weights": (lambda at: (at / "base/model.safetensors").unlink(), "is missing"),
    "no object": (lambda at: (at / "base/config.json").write_text("[]"), "not a JSON object"),
    "no number": (lambda at: edit_config(at / "base", hidden_size="wide"), "'hidden_size' is 'wide'"),
    "other sizes": (lambda at: edit_config(at / "base", num_attention_heads=3), "not a multiple"),
    "cut weights": (
        lambda at: (at / "base/model.safetensors").write_bytes(
            (at / "base/model.safetensors").read_bytes()[:5000]
        ),
        "cannot read",
    ),
    "weights that are no number": (
        lambda at: edit_tensor(at / "base/model.safetensors", UP_PROJECTION, spoilt),
        "layers.1.ffn.up.weight holds values that are not finite",
    ),
    "weights that are integers": (
        lambda at: edit_tensor(at / "base/model.safetensors", UP_PROJECTION, torch.Tensor.int),
        "expected a float type",
    ),
    "no states": (lambda at: (at / "hidden" / HIDDEN).unlink(), "more tokens than hidden states"),
    "states that are no number": (
        lambda at: edit_tensor(at / "hidden" / HIDDEN, "hidden", spoilt),
        "hidden states that are not finite",
    ),
    "a token outside the vocabulary": (
        lambda at: name_a_token(at / "hidden/sequences.jsonl", 64),
        "outside base's vocabulary of 64",
    ),
    "lines that are no sequence": (
        lambda at: (at / "held-out/sequences.jsonl").write_text("[1]\n"),
        "was not made by reprise extract",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    decoder = write_base(tmp_path / "base")
    write_hidden(tmp_path / "hidden", decoder, 8, seed=1)
    write_hidden(tmp_path / "held-out", decoder, 4, seed=2)
    spoil, message = CASES[case]
    spoil(tmp_path)
    paths = f"--base {tmp_path}/base --hidden {tmp_path}/hidden --validation {tmp_path}/held-out"
    with pytest.raises(TrainError, match=message):
        recycle.main([*paths.split(), "--out", str(tmp_path / "run"), "--steps", "2", "--draft-vocab", "20"])
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_named_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainError, match="cannot write .*checkpoint: No space left"):
        write_atomically(tmp_path / "checkpoint", b"weights")
    assert not list(tmp_path.iterdir())
    with pytest.raises(TrainError, match="log.jsonl"):
        Log(tmp_path / "gone").add("start")
