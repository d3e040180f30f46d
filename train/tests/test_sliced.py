"""Sliced models in PyTorch: the module, recovery fine-tuning, and the import of the official format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import CONFIG, write_base

from reprise_train import import_slicegpt, rft
from reprise_train.errors import TrainError, UsageError
from reprise_train.hf_names import hf_name
from reprise_train.lora import add_adapters, merged_weights
from reprise_train.model import Decoder
from reprise_train.sliced_model import SLICED_CLASS, SlicedDecoder, load_sliced, parse_config

EPS = CONFIG.norm_eps


def sliced_raw(widths: list[tuple[int, int, int]]) -> dict:
    inputs, middle, outputs = (list(column) for column in zip(*widths, strict=True))
    return {
        "architectures": [SLICED_CLASS],
        "base_architectures": ["LlamaForCausalLM"],
        "vocab_size": CONFIG.vocab_size,
        "hidden_size": CONFIG.hidden_size,
        "num_attention_heads": CONFIG.num_heads,
        "num_key_value_heads": CONFIG.num_kv_heads,
        "head_dim": CONFIG.head_size,
        "num_hidden_layers": CONFIG.num_layers,
        "intermediate_size": CONFIG.ffn_size,
        "max_position_embeddings": CONFIG.max_positions,
        "rope_theta": CONFIG.rope_theta,
        "rms_norm_eps": EPS,
        "slicing": {
            "norm_dim": CONFIG.hidden_size,
            "attention_input_widths": inputs,
            "mlp_input_widths": middle,
            "output_widths": outputs,
        },
    }


def write_sliced_model(folder: Path, widths: list[tuple[int, int, int]], seed: int = 3) -> SlicedDecoder:
    """Random weights in fp16, loud enough to matter."""
    torch.manual_seed(seed)
    raw = sliced_raw(widths)
    model = SlicedDecoder(parse_config(raw, folder)).requires_grad_(False)
    for weight in model.parameters():
        weight.copy_((weight * 1.5).half())
    folder.mkdir(parents=True)
    save_file(
        {hf_name(n): w.half().contiguous() for n, w in model.named_parameters()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(raw))
    (folder / "tokenizer.gguf").write_bytes(b"GGUF")
    return model


NARROW = [(24, 20, 24), (24, 16, 24), (24, 24, 32)]


def fused(dense: Decoder) -> SlicedDecoder:
    """The dense model as a sliced one of full width: norms folded by hand, shortcuts the identity."""
    width = CONFIG.hidden_size
    model = SlicedDecoder(parse_config(sliced_raw([(width, width, width)] * CONFIG.num_layers), Path("here")))
    state = {"embed.weight": dense.embed.weight, "head.weight": dense.embed.weight * dense.norm.weight}
    for index, layer in enumerate(dense.layers):
        attention, ffn, prefix = layer.attention, layer.ffn, f"layers.{index}."
        for name in ("query", "key", "value"):
            weight = getattr(attention, name).weight * layer.attention_norm.weight
            state[f"{prefix}attention.{name}.weight"] = weight
        for name in ("gate", "up"):
            state[f"{prefix}ffn.{name}.weight"] = getattr(ffn, name).weight * layer.ffn_norm.weight
        state |= {f"{prefix}attention.out.weight": attention.out.weight}
        state |= {f"{prefix}ffn.down.weight": ffn.down.weight}
        state |= {f"{prefix}{name}_shortcut.weight": torch.eye(width) for name in ("attention", "ffn")}
    model.load_state_dict(state)
    return model


def test_the_module_computes_what_the_dense_model_does_at_full_width(tmp_path):
    dense = write_base(tmp_path / "base")
    ids = torch.randint(0, CONFIG.vocab_size, (2, 20))
    with torch.no_grad():
        torch.testing.assert_close(fused(dense)(ids), dense(ids), rtol=1e-4, atol=1e-4)


def test_adapters_change_nothing_at_first_and_merge_into_what_they_computed(tmp_path):
    model = write_sliced_model(tmp_path / "sliced", NARROW)
    ids = torch.randint(0, CONFIG.vocab_size, (2, 12))
    before = model(ids)
    count = add_adapters(model, ["query", "down", "ffn_shortcut", "head"], rank=4, alpha=10.0, dropout=0.5)
    assert count == 3 * CONFIG.num_layers + 1
    model.eval()
    assert torch.equal(model(ids), before)
    for name, weight in model.named_parameters():
        assert weight.requires_grad == name.endswith((".a", ".b"))
        if weight.requires_grad:
            torch.nn.init.normal_(weight.data, std=0.2)
    adapted = model(ids)
    assert not torch.allclose(adapted, before, atol=1e-2)
    merged, _ = load_sliced(tmp_path / "sliced")
    merged.load_state_dict(merged.state_dict() | merged_weights(model))
    torch.testing.assert_close(merged(ids), adapted, rtol=1e-4, atol=1e-4)


def write_ids(path: Path, count: int) -> Path:
    """Text with a rule that can be learnt: each id follows from the one before."""
    ids = [1]
    for _ in range(count - 1):
        ids.append((ids[-1] * 5 + 3) % CONFIG.vocab_size)
    path.write_text(" ".join(map(str, ids)))
    return path


@pytest.mark.parametrize("distil", [False, True])
def test_recovery_lowers_the_held_out_loss_and_writes_a_model(tmp_path, distil):
    write_sliced_model(tmp_path / "sliced", NARROW)
    arguments = [
        "--model",
        tmp_path / "sliced",
        "--ids",
        write_ids(tmp_path / "ids.txt", 1500),
        "--out",
        tmp_path / "run",
        "--seq-len",
        16,
        "--batch-tokens",
        256,
        "--steps",
        40,
        "--lr",
        5e-3,
        "--rank",
        8,
        "--threads",
        1,
        "--fp32",
        "--dropout",
        0,
    ]
    if distil:
        write_base(tmp_path / "base")
        arguments += ["--teacher", tmp_path / "base"]
    rft.main([str(argument) for argument in arguments])
    records = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    steps = [record["loss"] for record in records if record["kind"] == "step"]
    assert steps[-1] < 0.9 * steps[0]
    before = next(record for record in records if record["kind"] == "start")["before"]["loss"]
    after = [record for record in records if record["kind"] == "eval"][-1]["loss"]
    assert distil or after < 0.9 * before
    model, files = load_sliced(tmp_path / "run/model")
    original = load_file(tmp_path / "sliced/model.safetensors")
    assert {name: t.shape for name, t in files.tensors.items()} == {
        name: t.shape for name, t in original.items()
    }
    assert files.tensors["lm_head.weight"].dtype == torch.float16
    assert not torch.equal(files.tensors["lm_head.weight"], original["lm_head.weight"])
    assert torch.equal(files.tensors["model.embed_tokens.weight"], original["model.embed_tokens.weight"])
    assert (tmp_path / "run/model/tokenizer.gguf").read_bytes() == b"GGUF"
    assert "recovery" in files.raw_config["slicing"]["made_by"]
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]]))).all()


def test_bad_input_to_recovery(tmp_path):
    write_sliced_model(tmp_path / "sliced", NARROW)
    write_base(tmp_path / "base")
    ids = write_ids(tmp_path / "ids.txt", 1500)
    (tmp_path / "words.txt").write_text("the river")
    (tmp_path / "far.txt").write_text("1 2 64 " * 40)

    def run(**changes):
        flags = {
            "model": tmp_path / "sliced",
            "ids": ids,
            "out": tmp_path / "run",
            "seq-len": 16,
            "steps": 1,
        } | changes
        rft.main([str(word) for name, value in flags.items() for word in (f"--{name}", value)])

    for error, words, changes in (
        (TrainError, "cannot read", {"model": tmp_path / "none"}),
        (TrainError, "not a sliced Llama model", {"model": tmp_path / "base"}),
        (TrainError, "cannot read token ids", {"ids": tmp_path / "none.txt"}),
        (TrainError, "cannot read token ids", {"ids": tmp_path / "words.txt"}),
        (TrainError, "outside the vocabulary", {"ids": tmp_path / "far.txt"}),
        (TrainError, "too few", {"ids": write_ids(tmp_path / "short.txt", 20)}),
        (TrainError, "no such model", {"teacher": tmp_path / "none"}),
        (UsageError, "--rank", {"rank": 0}),
        (UsageError, "--seq-len", {"seq-len": 1}),
        (UsageError, "context", {"seq-len": 65}),
        (UsageError, "--jsd-beta", {"jsd-beta": 1}),
    ):
        with pytest.raises(error, match=words):
            run(**changes)
        assert not (tmp_path / "run").exists(), changes


def write_official(folder: Path, model: SlicedDecoder) -> None:
    """What the official code saves of the same model."""
    state = {}
    for name, weight in model.named_parameters():
        official = hf_name(name)
        if "shortcut" in official:
            state[official.removesuffix(".weight") + "_Q"] = weight.T.contiguous()
        else:
            state[official] = weight
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    torch.save(state, folder / "tiny_0.25.pt")
    dims = {
        name: {str(i): widths[column] for i, widths in enumerate(NARROW)}
        for name, column in (
            ("attention_input_dimensions", 0),
            ("mlp_input_dimensions", 1),
            ("attention_output_dimensions", 1),
            ("mlp_output_dimensions", 2),
        )
    }
    dims["mlp_output_dimensions"]["2"] = 24  # the head is not sliced all the same
    official = {"hidden_size": 32, "layers_num": 3, "do_slice_head": False, "parallel_blocks": False} | dims
    (folder / "tiny_0.25.json").write_text(json.dumps(official))


def test_the_official_format_is_converted(tmp_path):
    model = write_sliced_model(tmp_path / "ours", NARROW)
    write_base(tmp_path / "dense")
    write_official(tmp_path, model)
    import_slicegpt.main(
        [
            "--weights",
            str(tmp_path / "tiny_0.25.pt"),
            "--model",
            str(tmp_path / "dense"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    imported, files = load_sliced(tmp_path / "out")
    ids = torch.randint(0, CONFIG.vocab_size, (1, 10))
    assert torch.equal(imported(ids), model(ids))
    assert files.raw_config["rms_norm_eps"] == 1e-5
    assert files.raw_config["slicing"]["output_widths"] == [24, 24, 32]
    assert not any("rotary" in name for name in files.tensors)


def test_bad_input_to_the_import(tmp_path):
    model = write_sliced_model(tmp_path / "ours", NARROW)
    write_base(tmp_path / "dense")
    write_official(tmp_path, model)
    weights, widths = tmp_path / "tiny_0.25.pt", tmp_path / "tiny_0.25.json"
    (tmp_path / "broken.pt").write_bytes(weights.read_bytes()[:1000])
    torch.save({"lm_head.weight": torch.ones(2)}, tmp_path / "dense.pt")
    (tmp_path / "few.json").write_text(
        json.dumps(json.loads(widths.read_text()) | {"mlp_input_dimensions": {"0": 20}})
    )
    for words, arguments in (
        ("cannot read", (tmp_path / "none.pt", widths, tmp_path / "dense")),
        ("cannot read", (tmp_path / "broken.pt", widths, tmp_path / "dense")),
        ("no shortcut matrices", (tmp_path / "dense.pt", widths, tmp_path / "dense")),
        ("cannot read", (weights, tmp_path / "none.json", tmp_path / "dense")),
        ("each of the 3 layers", (weights, tmp_path / "few.json", tmp_path / "dense")),
        ("config.json", (weights, widths, tmp_path / "none")),
        ("not supported", (weights, widths, tmp_path / "ours")),
    ):
        with pytest.raises(TrainError, match=words):
            import_slicegpt.convert(*arguments, tmp_path / "out")
        assert not (tmp_path / "out").exists()
