"""A tiny random base model on disk, and hidden states of it in the form of `reprise extract`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from reprise_train.export import hf_config
from reprise_train.hf_names import hf_name
from reprise_train.model import Decoder, ModelConfig

CONFIG = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, ffn_size=48, max_positions=64
)
END = 0


def write_base(folder: Path, seed: int = 1, config: ModelConfig = CONFIG) -> Decoder:
    """A Hugging Face directory; the weights are loud enough for its greedy text to vary."""
    torch.manual_seed(seed)
    decoder = Decoder(config).requires_grad_(False)
    for name, weight in decoder.named_parameters():
        if name == "embed.weight":
            weight.mul_(25)
        elif weight.dim() == 2:
            weight.mul_(2)
        elif name.endswith("norm.weight"):
            weight.add_(torch.rand_like(weight))
    folder.mkdir(parents=True)
    save_file(
        {hf_name(n): w.contiguous() for n, w in decoder.named_parameters()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(hf_config(config, END)))
    return decoder


@torch.no_grad()
def greedy(decoder: Decoder, prompts: torch.Tensor, count: int) -> torch.Tensor:
    """[B, T + count]: prompts [B, T] continued greedily."""
    ids = prompts
    for _ in range(count):
        ids = torch.cat((ids, decoder(ids)[:, -1].argmax(-1, keepdim=True)), dim=1)
    return ids


@torch.no_grad()
def write_hidden(folder: Path, decoder: Decoder, sequences: int, seed: int = 1, answer: int = 16) -> None:
    """Random prompts of 4 tokens with greedy answers; two shards."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(1, decoder.config.vocab_size, (sequences, 4), generator=generator)
    ids = greedy(decoder, prompts, answer)
    hidden = decoder.hidden(ids)
    folder.mkdir(parents=True)
    for shard, rows in enumerate(hidden.tensor_split(2)):
        save_file({"hidden": rows.flatten(0, 1).contiguous()}, folder / f"hidden-{shard:05d}.safetensors")
    lines = (json.dumps({"answer_start": 4, "tokens": row}) for row in ids.tolist())
    (folder / "sequences.jsonl").write_text("".join(line + "\n" for line in lines))
