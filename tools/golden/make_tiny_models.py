#!/usr/bin/env python3
"""Makes the tiny random models of tests/data/models and the logits `transformers` computes for them.

Needs torch, transformers, tokenizers, safetensors, gguf. Run from the source root:

    python tools/golden/make_tiny_models.py [NAME...]

Each model is a directory (Hugging Face) or a file (GGUF), with two files of goldens:
  NAME/golden.json, NAME.golden.json          {"prompts": [{"tokens": [...], "rows": n}, ...]}
  NAME/golden.safetensors, NAME.golden.safetensors
      "logits.I", float32 [rows, vocab]: the logits of the last `rows` positions of prompt I.

Every model is saved first and read back by transformers, so config.json means what transformers takes it to mean. The
script fails when the feature that a model is there for does not change its logits.
"""

import json
import pathlib
import shutil
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path("tests/data/models")
SPECIALS = ["<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>"]
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "a"), ("e", "r"), ("o", "n"), ("Ġ", "s"),
          ("a", "n"), ("an", "d"), ("Ġ", "and")]
PROMPT_LENGTHS = [40, 24]
ROWS = [24, 2]  # logits kept of each prompt
GGUF_ROWS = [8, 1]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|eos|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

BASE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}

# name -> (class, model_type, changes to BASE, changes that must alter the logits, dtype). The spellings differ on
# purpose: old `type` and new `rope_type` keys, `rope_scaling` and `rope_parameters`, absent and explicit defaults.
MODELS = {
    "llama2": ("LlamaForCausalLM", "llama", {"num_key_value_heads": None, "rope_scaling": None}, {}, "bfloat16"),
    "llama3": ("LlamaForCausalLM", "llama", {
        "rope_theta": 500.0, "eos_token_id": [2, 4],
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32},
    }, {"rope_scaling": None}, "bfloat16"),
    "llama_linear": ("LlamaForCausalLM", "llama", {
        "rope_scaling": {"type": "linear", "factor": 4.0}, "attention_bias": True,
    }, {"rope_scaling": None}, "float16"),
    "mistral": ("MistralForCausalLM", "mistral", {
        "sliding_window": 12, "head_dim": 16, "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
    }, {"sliding_window": None}, "bfloat16"),
    "smollm2": ("LlamaForCausalLM", "llama", {
        "tie_word_embeddings": True, "num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 96,
        "intermediate_size": 64, "rope_theta": 100000,
    }, {}, "bfloat16"),
    "qwen2": ("Qwen2ForCausalLM", "qwen2", {
        "tie_word_embeddings": True, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "use_sliding_window": False,
        "sliding_window": 32, "max_window_layers": 1,
    }, {}, "float32"),
    "qwen3": ("Qwen3ForCausalLM", "qwen3", {
        "head_dim": 32, "rope_theta": None, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "attention_bias": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    }, {}, "bfloat16"),
    "opt": ("OPTForCausalLM", "opt", {
        "intermediate_size": None, "num_key_value_heads": None, "hidden_act": None, "rms_norm_eps": None,
        "rope_theta": None, "ffn_dim": 96, "word_embed_proj_dim": 64, "do_layer_norm_before": True,
        "activation_function": "relu", "tie_word_embeddings": None, "dropout": 0.0,
    }, {}, "float32"),
    "phi": ("PhiForCausalLM", "phi", {
        "num_key_value_heads": None, "hidden_act": "gelu_new", "rms_norm_eps": None, "layer_norm_eps": 1e-5,
        "hidden_size": 96, "num_attention_heads": 3, "partial_rotary_factor": 0.25, "qk_layernorm": False,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    }, {"partial_rotary_factor": 0.5}, "float32"),
}
SHARDED = "llama3"


def make_tokenizer() -> Tokenizer:
    """Byte-level BPE: the specials, the 256 bytes, a few merges."""
    vocab = {token: i for i, token in enumerate(SPECIALS)}
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab[byte] = len(vocab)
    for left, right in MERGES:
        vocab[left + right] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


def prompts(vocab_size: int) -> list[list[int]]:
    generator = np.random.default_rng(7)
    return [generator.integers(len(SPECIALS), vocab_size, length).tolist() for length in PROMPT_LENGTHS]


def randomise(model, seed: int) -> None:
    """Weights large enough that layers matter and logits are far apart; norms around 1, biases around 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            parameter.data = 0.5 * noise
        elif "norm" in name:
            parameter.data = 1.0 + 0.2 * noise
        elif "embed_" in name:
            parameter.data = 0.4 * noise
        else:
            parameter.data = 0.25 * noise


@torch.no_grad()
def logits(model, tokens: list[int]) -> torch.Tensor:
    model.eval()
    return model(torch.tensor([tokens])).logits[0].float()


def write_goldens(stem: str, model, rows: list[int]) -> None:
    sequences = prompts(model.config.vocab_size)
    tensors = {f"logits.{i}": logits(model, tokens)[-n:].contiguous() for i, (tokens, n) in enumerate(zip(sequences, rows))}
    save_file(tensors, f"{stem}golden.safetensors")
    golden = {"prompts": [{"tokens": tokens, "rows": n} for tokens, n in zip(sequences, rows)]}
    pathlib.Path(f"{stem}golden.json").write_text(json.dumps(golden) + "\n")


def load(directory: pathlib.Path, **changes):
    config = AutoConfig.from_pretrained(directory, **changes)
    return AutoModelForCausalLM.from_pretrained(directory, config=config, dtype=torch.float32,
                                                attn_implementation="eager")


def write_config(directory: pathlib.Path, config: dict) -> None:
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def make_hugging_face(name: str, seed: int, tokenizer: Tokenizer) -> None:
    class_name, model_type, changes, must_matter, dtype = MODELS[name]
    directory = ROOT / name
    directory.mkdir(parents=True)
    config = {"architectures": [class_name], "model_type": model_type, **BASE, **changes}
    config = {key: value for key, value in config.items() if value is not None or key in ("rope_scaling",)}
    config["vocab_size"] = tokenizer.get_vocab_size()
    config["torch_dtype"] = dtype
    write_config(directory, config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory))
    randomise(model, seed)
    model = model.to(getattr(torch, dtype))
    model.save_pretrained(directory, max_shard_size="80KB" if name == SHARDED else "1GB")
    write_config(directory, config)  # save_pretrained wrote its own spelling
    generation = {"bos_token_id": 1, "eos_token_id": config["eos_token_id"], "temperature": 0.7, "top_p": 0.9}
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    tokenizer_config = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>",
                        "chat_template": CHAT_TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")

    model = load(directory)
    write_goldens(f"{directory}/", model, ROWS)
    tokens = prompts(model.config.vocab_size)[0]
    reference = logits(model, tokens)
    top = reference.sort(dim=-1, descending=True).values
    print(f"{name:12} logits {reference.std():.2f}, gap of the best two {(top[:, 0] - top[:, 1]).median():.3f}")
    for key, value in must_matter.items():
        without_config = {**config, key: value}
        scratch = ROOT / "scratch"
        shutil.copytree(directory, scratch)
        write_config(scratch, without_config)
        change = (logits(load(scratch), tokens) - reference).abs().max().item()
        shutil.rmtree(scratch)
        if change < 0.5:
            raise SystemExit(f"{name}: {key} changes the logits by {change} only")


# GGUF ----------------------------------------------------------------------------------------------------------------

GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

# file name -> (directory it is made from, architecture, type of matrices)
GGUFS = {
    **{f"llama2-{t.name}": ("llama2", "llama", t)
       for t in (gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0,
                 gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q5_0, gguf.GGMLQuantizationType.Q5_1)},
    "llama3-Q8_0": ("llama3", "llama", gguf.GGMLQuantizationType.Q8_0),
    "qwen2-Q8_0": ("qwen2", "qwen2", gguf.GGMLQuantizationType.Q8_0),
    "qwen3-Q8_0": ("qwen3", "qwen3", gguf.GGMLQuantizationType.Q8_0),
}


def gguf_name(name: str) -> str:
    stem, suffix = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, part = stem.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[part]}.{suffix}"
    return f"{GGUF_NAMES[stem]}.{suffix}"


def permutation(heads: int, head_dim: int) -> np.ndarray:
    """Row 2i + j of a head in the file is row i + j * head_dim / 2 of the original."""
    within = np.arange(head_dim).reshape(2, head_dim // 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * head_dim + within).reshape(-1)


def llama3_factors(model) -> np.ndarray:
    """What Llama 3's scaling divides each frequency by."""
    config = model.config
    dim = config.hidden_size // config.num_attention_heads
    plain = config.rope_parameters["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
    return (plain / model.model.rotary_emb.inv_freq).numpy().astype(np.float32)


def write_gguf_metadata(writer: gguf.GGUFWriter, config, tokenizer: Tokenizer) -> None:
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([gguf.TokenType.CONTROL if i < len(SPECIALS) else gguf.TokenType.NORMAL
                            for i in range(len(vocab))])
    writer.add_token_merges([f"{left} {right}" for left, right in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def make_gguf(name: str, tokenizer: Tokenizer) -> None:
    source, architecture, qtype = GGUFS[name]
    model = load(ROOT / source)
    config = model.config
    writer = gguf.GGUFWriter(ROOT / f"{name}.gguf", architecture)
    write_gguf_metadata(writer, config, tokenizer)
    tied = config.tie_word_embeddings
    if source == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(model))
    state = model.state_dict()
    for key, tensor in state.items():
        if tied and key == "lm_head.weight":
            continue
        values = tensor.numpy().astype(np.float32)
        order = None
        if architecture == "llama" and ("q_proj" in key or "k_proj" in key):
            heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
            order = permutation(heads, values.shape[0] // heads)
            values = values[order]
        if values.ndim == 1:
            writer.add_tensor(gguf_name(key), values)
            continue
        packed = gguf.quants.quantize(values, qtype)
        writer.add_tensor(gguf_name(key), packed, raw_dtype=qtype)
        restored = gguf.quants.dequantize(packed, qtype).reshape(values.shape).copy()
        if order is not None:
            restored[order] = restored.copy()
        tensor.copy_(torch.from_numpy(restored))  # the goldens are those of the weights in the file
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_goldens(f"{ROOT}/{name}.", model, GGUF_ROWS)


def main() -> None:
    wanted = set(sys.argv[1:] or [*MODELS, *GGUFS])
    logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    for seed, name in enumerate(MODELS):
        if name in wanted:
            shutil.rmtree(ROOT / name, ignore_errors=True)
            make_hugging_face(name, seed, tokenizer)
    for name in GGUFS:
        if name in wanted:
            make_gguf(name, tokenizer)
    size = sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
