"""A trained model as a Hugging Face directory that `LlamaForCausalLM` and Reprise load.

    python -m reprise_train.export --run RUN --to DIR

exports the latest checkpoint of a run, finished or not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from reprise_train import checkpoint
from reprise_train.cli import exit_on_error
from reprise_train.data import load_corpus
from reprise_train.errors import TrainError
from reprise_train.files import replace_directory, write_json
from reprise_train.model import Decoder, ModelConfig
from reprise_train.tokenizer import END_OF_TEXT, end_of_text_id

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ message['content'] }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
)
"""The model only continues text: messages become paragraphs of one document, whoever said them."""

LAYER_NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.gate.weight": "mlp.gate_proj.weight",
    "ffn.up.weight": "mlp.up_proj.weight",
    "ffn.down.weight": "mlp.down_proj.weight",
}


def hf_name(name: str) -> str:
    """Our name of a parameter to `LlamaForCausalLM`'s."""
    if name == "embed.weight":
        return "model.embed_tokens.weight"
    if name == "norm.weight":
        return "model.norm.weight"
    _, index, rest = name.split(".", 2)
    return f"model.layers.{index}.{LAYER_NAMES[rest]}"


def hf_config(config: ModelConfig, end: int) -> dict:
    """`config.json` of a model whose BOS and EOS is token `end`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "max_position_embeddings": config.max_positions,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def export(model: Decoder, tokenizer: Tokenizer, folder: Path, card: str) -> None:
    """Writes the whole directory, or nothing: it is made beside `folder` and moved there.

    Weights are rounded to bf16; the tied head is not stored twice. Raises TrainError when `folder` exists and
    is not an earlier export, or cannot be written.
    """
    end = end_of_text_id(tokenizer)
    replace_directory(folder, lambda partial: _write(model, tokenizer, end, partial, card))


def _write(model: Decoder, tokenizer: Tokenizer, end: int, folder: Path, card: str) -> None:
    weights = {
        hf_name(name): weight.detach().to("cpu", torch.bfloat16).contiguous()
        for name, weight in model.named_parameters()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(os.fspath(folder / "tokenizer.json"), pretty=True)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "add_bos_token": False,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_positions,
        "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {
            str(end): {
                "content": END_OF_TEXT,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
        },
    }
    generation_config = {
        "bos_token_id": end,
        "eos_token_id": end,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.95,
    }
    for name, content in (
        ("config.json", hf_config(model.config, end)),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", generation_config),
    ):
        write_json(folder / name, content)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def load_exported(folder: Path) -> Decoder:
    """The model of an exported directory, in fp32: what is measured is then what is shipped."""
    try:
        raw = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError) as error:
        raise TrainError(f"cannot read the model in {folder}: {error}") from None
    config = ModelConfig(
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        num_layers=raw["num_hidden_layers"],
        num_heads=raw["num_attention_heads"],
        num_kv_heads=raw["num_key_value_heads"],
        ffn_size=raw["intermediate_size"],
        max_positions=raw["max_position_embeddings"],
        rope_theta=raw["rope_theta"],
        norm_eps=raw["rms_norm_eps"],
    )
    model = Decoder(config)
    state: dict[str, Tensor] = {name: weights[hf_name(name)].float() for name, _ in model.named_parameters()}
    model.load_state_dict(state)
    return model


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m reprise_train.export", description="Export the latest checkpoint of a training run."
    )
    parser.add_argument("--run", type=Path, required=True, help="the --out directory of reprise_train.base")
    parser.add_argument(
        "--to", type=Path, required=True, help="directory to write; an earlier export there is replaced"
    )
    options = parser.parse_args(arguments)
    state = checkpoint.load(options.run)
    model = Decoder(ModelConfig(**state["settings"]["model"]))
    weights = state["model"]
    if state["settings"].get("recycle_layers"):  # a module was trained with it
        weights = {name.removeprefix("base."): w for name, w in weights.items() if name.startswith("base.")}
    model.load_state_dict(weights)
    corpus = load_corpus(options.run)
    position = state["position"]
    card = f"An intermediate checkpoint after {position['step']} steps, {position['tokens']} tokens.\n"
    export(model, corpus.tokenizer, options.to, card)
    print(
        f"{options.to}: {model.num_parameters()} parameters after {position['tokens']} tokens",
        file=sys.stderr,
    )


if __name__ == "__main__":
    exit_on_error(main)
