"""The exported directory means to other programs what the model means to us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from reprise_train import base, checkpoint
from reprise_train import export as exporting
from reprise_train.base_model import load_base
from reprise_train.errors import TrainError
from reprise_train.evaluate import held_out_loss
from reprise_train.hf_names import hf_name
from reprise_train.model import Decoder, ModelConfig

transformers = pytest.importorskip("transformers")
try:
    from transformers import LlamaForCausalLM
except ImportError as error:  # transformers 5 wants a newer PyTorch than we do
    pytest.skip(f"this transformers does not go with this PyTorch: {error}", allow_module_level=True)


@pytest.fixture
def run(tiny: list[str], tmp_path: Path) -> Path:
    base.main([*tiny, "--out", str(tmp_path / "run"), "--steps", "20", "--max-positions", "48"])
    return tmp_path / "run"


def test_transformers_computes_our_logits(run: Path) -> None:
    ours = load_base(run / "model").decoder()
    theirs = LlamaForCausalLM.from_pretrained(run / "model").float()
    ids = torch.randint(0, 320, (3, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-4)
    assert theirs.lm_head.weight.data_ptr() == theirs.model.embed_tokens.weight.data_ptr()


def test_exported_weights_are_the_trained_ones_in_bf16(run: Path) -> None:
    trained = checkpoint.load(run)["model"]
    with safe_open(run / "model" / "model.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(hf_name(name) for name in trained)
        for name, weight in trained.items():
            assert torch.equal(file.get_tensor(hf_name(name)), weight.bfloat16()), name


def test_tokenizer_and_chat_template_load(run: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model")
    assert tokenizer.bos_token == tokenizer.eos_token == "<|endoftext|>" and tokenizer.bos_token_id == 0
    assert tokenizer.decode(tokenizer("The fox “sang”.")["input_ids"]) == "The fox “sang”."
    messages = [{"role": "system", "content": "A tale."}, {"role": "user", "content": "Once"}]
    assert (
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        == "<|endoftext|>A tale.\n\nOnce\n\n"
    )
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<|endoftext|>A tale.\n\nOnce"
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["max_position_embeddings"] == tokenizer.model_max_length == 48


def test_checkpoint_exports_before_the_end(run: Path, tmp_path: Path) -> None:
    exporting.main(["--run", str(run), "--to", str(tmp_path / "early")])
    early, final = load_base(tmp_path / "early").decoder(), load_base(run / "model").decoder()
    assert all(torch.equal(a, b) for a, b in zip(early.parameters(), final.parameters(), strict=True))


def test_export_never_replaces_a_foreign_folder(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(TrainError, match="not an exported model"):
        exporting.main(["--run", str(run), "--to", str(tmp_path / "mine")])
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_held_out_loss_is_the_mean_over_every_target() -> None:
    torch.manual_seed(0)
    model = Decoder(
        ModelConfig(
            vocab_size=50,
            hidden_size=16,
            num_layers=1,
            num_heads=2,
            num_kv_heads=1,
            ffn_size=16,
            max_positions=8,
        )
    )
    stream = torch.randint(0, 50, (33,)).numpy().astype("uint16")
    result = held_out_loss(model, stream, window=8)
    losses = []
    for start in range(0, 32, 8):
        ids = torch.tensor(stream[start : start + 9].astype("int64"))[None]
        losses.append(model.loss(ids[:, :-1], ids[:, 1:]).item())
    assert result.tokens == 32 and result.loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert len(result.by_position) == 8
