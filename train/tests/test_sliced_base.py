"""A sliced model as the base of a recycle module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_sliced import NARROW, write_sliced_model
from tiny_base import CONFIG, write_base

from reprise_train import recycle
from reprise_train.errors import TrainError
from reprise_train.model import DecoderLayer, rotary_tables
from reprise_train.recycle_export import load_module
from reprise_train.sliced_base import SlicedBase, load_any_base
from reprise_train.sliced_model import SlicedDecoder, normalised

WIDTH = CONFIG.hidden_size


def orthogonal() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q.contiguous()


def write_sliced_base(folder: Path, widths: list[tuple[int, int, int]] = NARROW) -> None:
    """A sliced model of random weights, its shortcuts parts of rotations, with its output rotation."""
    write_sliced_model(folder, widths)
    tensors = load_file(folder / "model.safetensors")
    for name, weight in tensors.items():
        if "shortcut" in name:
            rows, columns = weight.shape
            tensors[name] = orthogonal()[:rows, :columns].contiguous()
    tensors["output_rotation.weight"] = orthogonal()
    save_file(tensors, folder / "model.safetensors")


@torch.no_grad()
@pytest.mark.parametrize("index", [-1, -2])
def test_a_layer_in_the_last_basis_computes_what_it_does_in_its_own(tmp_path: Path, index: int) -> None:
    write_sliced_base(tmp_path / "base", [(WIDTH, WIDTH, WIDTH)] * CONFIG.num_layers)
    base = load_any_base(tmp_path / "base")
    assert isinstance(base, SlicedBase)
    layer = DecoderLayer(CONFIG)
    layer.load_state_dict(base.layer(index))
    own = base.model.layers[index]
    x = torch.randn(2, 9, WIDTH)
    cos, sin = (table[:9] for table in rotary_tables(16, CONFIG.head_size, CONFIG.rope_theta))

    def to_the_last(x: torch.Tensor, first: int) -> torch.Tensor:
        """Through shortcuts alone, from the input of layer `first`."""
        for later in range(CONFIG.num_layers + first, CONFIG.num_layers):
            x = base.model.layers[later].ffn_shortcut(base.model.layers[later].attention_shortcut(x))
        return x

    expected = to_the_last(own(x, cos, sin), index + 1)
    torch.testing.assert_close(layer(to_the_last(x, index), cos, sin), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def write_states(folder: Path, model: SlicedDecoder, sequences: int, seed: int) -> None:
    """Greedy answers of the sliced model, with the states that its head reads."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, CONFIG.vocab_size, (sequences, 4), generator=generator)
    for _ in range(16):
        ids = torch.cat((ids, model(ids)[:, -1].argmax(-1, keepdim=True)), dim=1)
    hidden = normalised(model.residual(ids, CONFIG.num_layers), model.config)
    folder.mkdir()
    save_file({"hidden": hidden.flatten(0, 1).contiguous()}, folder / "hidden-00000.safetensors")
    lines = (json.dumps({"answer_start": 4, "tokens": row}) for row in ids.tolist())
    (folder / "sequences.jsonl").write_text("".join(line + "\n" for line in lines))


def test_a_module_learns_from_a_sliced_base(tmp_path: Path) -> None:
    write_sliced_base(tmp_path / "base")
    base = load_any_base(tmp_path / "base")
    write_states(tmp_path / "hidden", base.model, 40, seed=1)
    write_states(tmp_path / "held-out", base.model, 12, seed=2)
    paths = f"--base {tmp_path}/base --hidden {tmp_path}/hidden --validation {tmp_path}/held-out"
    flags = "--draft-vocab 0 --batch-tokens 160 --lr 5e-3 --warmup-steps 4 --threads 1 --fp32 --steps 40"
    recycle.main([*paths.split(), *flags.split(), "--out", str(tmp_path / "run")])
    module, _ = load_module(tmp_path / "run" / "module", base)
    narrow = NARROW[0][0]
    assert module.input_projection.weight.shape == (WIDTH, WIDTH + narrow)
    config = json.loads((tmp_path / "run" / "module" / "config.json").read_text())
    assert config["embedding_size"] == narrow and config["hidden_size"] == WIDTH
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["agreement_1"] > 0.3


def test_the_fingerprint_is_of_the_rotation(tmp_path: Path) -> None:
    write_sliced_base(tmp_path / "base")
    before = load_any_base(tmp_path / "base").fingerprint()
    path = tmp_path / "base" / "model.safetensors"
    tensors = load_file(path)
    tensors["output_rotation.weight"][3, 5] += 1
    save_file(tensors, path)
    assert load_any_base(tmp_path / "base").fingerprint() != before
    del tensors["output_rotation.weight"]
    save_file(tensors, path)
    with pytest.raises(TrainError, match="output_rotation.weight is missing"):
        load_any_base(tmp_path / "base")


def test_a_dense_model_loads_as_before(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    assert not isinstance(load_any_base(tmp_path / "base"), SlicedBase)
    with pytest.raises(TrainError, match="no such model"):
        load_any_base(tmp_path / "nowhere")
