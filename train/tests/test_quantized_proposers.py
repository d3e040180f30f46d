"""Modules and drafts whose directory holds model.gguf, as `reprise quantize` writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import CONFIG, write_base

from reprise_train.base_model import Base, load_base
from reprise_train.draft_model import Draft, export_draft, load_draft
from reprise_train.errors import TrainError
from reprise_train.recycle_export import export_module, load_module
from reprise_train.recycle_module import ModuleConfig, RecycleModule

gguf = pytest.importorskip("gguf")

LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
IDS = torch.arange(1, CONFIG.vocab_size, 3)


def gguf_name(name: str) -> str:
    """docs/file-formats.md once more, so that a wrong name in the reader shows."""
    name = name.removeprefix("model.").removesuffix(".weight")
    if name.startswith("layers."):
        _, index, rest = name.split(".", 2)
        return f"blk.{index}.{LAYER[rest]}.weight"
    return {"norm": "output_norm.weight", "d2t": "d2t"}.get(name) or f"recycle.{name}.weight"


def quantize(folder: Path, architecture: str, ids: torch.Tensor = IDS) -> None:
    """Replaces model.safetensors by model.gguf; matrices whose rows are no whole blocks stay F16."""
    path = folder / "model.safetensors"
    writer = gguf.GGUFWriter(folder / "model.gguf", architecture)
    for name, weight in load_file(path).items():
        if name == "d2t":
            writer.add_tensor(name, ids.int().numpy())
        elif weight.dim() == 1:
            writer.add_tensor(gguf_name(name), weight.float().numpy())
        elif weight.shape[1] % 32:
            writer.add_tensor(gguf_name(name), weight.half().numpy())
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            blocks = gguf.quants.quantize(weight.float().numpy(), kind)
            writer.add_tensor(gguf_name(name), blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.unlink()


@pytest.fixture
def base(tmp_path: Path) -> Base:
    write_base(tmp_path / "base")
    return load_base(tmp_path / "base")


def write_module(base: Base, folder: Path) -> RecycleModule:
    torch.manual_seed(5)
    module = RecycleModule(ModuleConfig(CONFIG, num_layers=2)).requires_grad_(False)
    export_module(module, base, IDS, folder, card="")
    return module


def assert_close(quantized: torch.nn.Module, original: torch.nn.Module) -> None:
    for (name, ours), theirs in zip(quantized.named_parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.01, atol=0.02 * float(theirs.abs().max()), msg=name)


def test_a_quantized_module_is_the_module_but_for_the_rounding(base: Base, tmp_path: Path) -> None:
    module = write_module(base, tmp_path / "module")
    quantize(tmp_path / "module", "reprise_recycle")
    loaded, ids = load_module(tmp_path / "module", base)
    assert_close(loaded, module)
    assert torch.equal(ids, IDS)


def test_a_quantized_draft_is_the_draft_but_for_the_rounding(base: Base, tmp_path: Path) -> None:
    draft = Draft(base, 2)
    draft.start_from(base)
    export_draft(draft, base, IDS, tmp_path / "draft", card="")
    quantize(tmp_path / "draft", "reprise_draft")
    loaded, ids = load_draft(tmp_path / "draft", base)
    assert_close(loaded, draft)
    assert torch.equal(ids, IDS)


def cut(folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["hidden_norm.weight"][3] = torch.nan
    save_file(tensors, path)
    quantize(folder, "reprise_recycle")


def edit_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda at: (quantize(at, "reprise_recycle"), cut(at)), "cannot read .*model.gguf"),
    "not finite": (spoil, "recycle.hidden_norm.weight holds values that are not finite"),
    "an ordinary model's": (lambda at: quantize(at, "llama"), "'llama', expected 'reprise_recycle'"),
    "both": (lambda at: (at / "model.gguf").write_bytes(b"GGUF"), "only one of them"),
    "neither": (lambda at: (at / "model.safetensors").unlink(), "cannot read .*model.safetensors"),
    "ids that do not ascend": (
        lambda at: quantize(at, "reprise_recycle", IDS.flip(0)),
        "'d2t' is not 21 ascending ids below 64",
    ),
    "another number of ids": (
        lambda at: (quantize(at, "reprise_recycle"), edit_config(at, draft_vocab_size=20)),
        "'d2t' is not 20 ascending ids",
    ),
    "other layers": (
        lambda at: (quantize(at, "reprise_recycle"), edit_config(at, num_hidden_layers=3)),
        "blk.2.attn_norm.weight",
    ),
    "another base": (
        lambda at: (quantize(at, "reprise_recycle"), edit_config(at, base_sha256="0" * 64)),
        "was made for 0000",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told(base: Base, tmp_path: Path, case: str) -> None:
    write_module(base, tmp_path / "module")
    change, message = CASES[case]
    change(tmp_path / "module")
    with pytest.raises(TrainError, match=message):
        load_module(tmp_path / "module", base)
