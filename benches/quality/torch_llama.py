"""A Llama-architecture GGUF file in PyTorch, float32 on the dequantised weights: what the kernels are compared to."""
from __future__ import annotations

from pathlib import Path

import gguf
import torch
import torch.nn.functional as functional
from torch import Tensor


class TorchLlama:
    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)

        def field(name: str) -> float:
            return reader.fields[f"llama.{name}"].contents()

        self.layers = int(field("block_count"))
        self.heads = int(field("attention.head_count"))
        self.kv_heads = int(field("attention.head_count_kv"))
        self.epsilon = float(field("attention.layer_norm_rms_epsilon"))
        self.base = float(field("rope.freq_base"))
        self.weights = {
            tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
            .float().reshape([int(n) for n in reversed(tensor.shape)])
            for tensor in reader.tensors
        }

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weights[name]

    def _rotate(self, x: Tensor) -> Tensor:
        """[heads, tokens, head_dim]; llama files hold queries and keys so that neighbours rotate together."""
        tokens, dim = x.shape[1:]
        frequency = self.base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angle = torch.arange(tokens, dtype=torch.float64)[:, None] * frequency
        cos, sin = angle.cos().float(), angle.sin().float()
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)

    def _attention(self, x: Tensor, prefix: str) -> Tensor:
        def project(name: str, heads: int) -> Tensor:
            return (x @ self.weights[f"{prefix}attn_{name}.weight"].T).unflatten(-1, (heads, -1)).transpose(0, 1)

        q, k = self._rotate(project("q", self.heads)), self._rotate(project("k", self.kv_heads))
        v = project("v", self.kv_heads)
        group = self.heads // self.kv_heads
        out = functional.scaled_dot_product_attention(
            q, k.repeat_interleave(group, 0), v.repeat_interleave(group, 0), is_causal=True)
        return out.transpose(0, 1).flatten(-2) @ self.weights[f"{prefix}attn_output.weight"].T

    def _mlp(self, x: Tensor, prefix: str) -> Tensor:
        gate = functional.silu(x @ self.weights[f"{prefix}ffn_gate.weight"].T)
        up = x @ self.weights[f"{prefix}ffn_up.weight"].T
        return (gate * up) @ self.weights[f"{prefix}ffn_down.weight"].T

    @torch.inference_mode()
    def mean_nll(self, tokens: list[int]) -> float:
        """Mean negative log-likelihood of all tokens but the first."""
        ids = torch.tensor(tokens)
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            x = x + self._attention(self._norm(x, f"{prefix}attn_norm.weight"), prefix)
            x = x + self._mlp(self._norm(x, f"{prefix}ffn_norm.weight"), prefix)
        x = self._norm(x, "output_norm.weight")
        head = self.weights.get("output.weight", self.weights["token_embd.weight"])
        return functional.cross_entropy(x[:-1] @ head.T, ids[1:]).item()
