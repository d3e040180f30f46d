"""A trained model as a Hugging Face directory that `LlamaForCausalLM` and Reprise load.

    python -m reprise_train.export --run RUN --to DIR

exports the latest checkpoint of a run, finished or not.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from reprise_train import checkpoint
from reprise_train.cli import exit_on_error
from reprise_train.data import load_corpus
from reprise_train.files import replace_directory, write_json
from reprise_train.hf_names import hf_name, size_fields
from reprise_train.model import Decoder, ModelConfig
from reprise_train.tensor_files import write_tensors
from reprise_train.tokenizer import END_OF_TEXT, end_of_text_id

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ message['content'] }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
)
"""The model only continues text: messages become paragraphs of one document, whoever said them."""


def hf_config(config: ModelConfig, end: int) -> dict:
    """`config.json` of a model whose BOS and EOS is token `end`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **size_fields(config),
        "num_hidden_layers": config.num_layers,
        "max_position_embeddings": config.max_positions,
        "rope_scaling": None,
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
    write_tensors(folder / "model.safetensors", weights)
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
