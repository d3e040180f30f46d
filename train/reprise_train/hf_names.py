"""Hugging Face's Llama beside ours: names of parameters, and the sizes in `config.json`."""

from __future__ import annotations

from reprise_train.model import ModelConfig

LAYER_NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "attention_shortcut.weight": "attn_shortcut.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.gate.weight": "mlp.gate_proj.weight",
    "ffn.up.weight": "mlp.up_proj.weight",
    "ffn.down.weight": "mlp.down_proj.weight",
    "ffn_shortcut.weight": "mlp_shortcut.weight",
}
"""Of a layer; the shortcuts are those of a sliced one (docs/slicing.md)."""


def layer_name(name: str, prefix: str = "") -> str | None:
    """The file's name of our `layers.N.…`, behind `prefix`; nothing for a parameter outside the layers."""
    if not name.startswith("layers."):
        return None
    _, index, rest = name.split(".", 2)
    return f"{prefix}layers.{index}.{LAYER_NAMES[rest]}"


def hf_name(name: str) -> str:
    """Our name of a parameter to `LlamaForCausalLM`'s."""
    outside = {
        "embed.weight": "model.embed_tokens.weight",
        "norm.weight": "model.norm.weight",
        "head.weight": "lm_head.weight",
    }
    return outside.get(name) or layer_name(name, "model.") or name


def size_fields(config: ModelConfig) -> dict:
    """The fields of `config.json` that describe a layer."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
    }


def read_config(raw: dict) -> ModelConfig:
    """Of a Llama's `config.json`. Raises KeyError for a missing field, TypeError for a wrong one."""
    numbers = raw | {"num_key_value_heads": raw.get("num_key_value_heads", raw["num_attention_heads"])}

    def number(name: str, kinds: type | tuple[type, ...] = int) -> float:
        value = numbers[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"'{name}' is {value!r}; expected a number")
        return value

    return ModelConfig(
        vocab_size=number("vocab_size"),
        hidden_size=number("hidden_size"),
        num_layers=number("num_hidden_layers"),
        num_heads=number("num_attention_heads"),
        num_kv_heads=number("num_key_value_heads"),
        ffn_size=number("intermediate_size"),
        max_positions=number("max_position_embeddings"),
        rope_theta=float(raw.get("rope_theta", 10000.0)),
        norm_eps=number("rms_norm_eps", (int, float)),
    )
