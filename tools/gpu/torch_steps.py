#!/usr/bin/env python3
"""The steps of bench_steps in PyTorch, eager and compiled, on the same shapes: one JSON row each.

Random bf16 weights, a static KV cache, scaled_dot_product_attention; decoding replays a CUDA graph when compiled
(mode "reduce-overhead").
"""

import json
import statistics
import time

import torch
import torch.nn.functional as F

# name: layers, width, query heads, kv heads, head_dim, feed-forward, vocabulary
SHAPES = {
    "1.3b": (24, 2048, 16, 16, 128, 5504, 32000),
    "8b": (32, 4096, 32, 8, 128, 14336, 128256),
}
CONTEXT = 512
PREFILL = 2048
# As many as are compiled in the time there is; the first ones matter most.
BATCHES = {"1.3b": (1, 8, 64, 256), "8b": (1, 32, 256)}


class Layer(torch.nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        _, width, heads, kv_heads, dim, ffn, _ = shape
        self.heads, self.kv_heads, self.dim = heads, kv_heads, dim
        self.qkv = torch.nn.Linear(width, (heads + 2 * kv_heads) * dim, bias=False)
        self.out = torch.nn.Linear(heads * dim, width, bias=False)
        self.gate_up = torch.nn.Linear(width, 2 * ffn, bias=False)
        self.down = torch.nn.Linear(ffn, width, bias=False)
        self.norms = torch.nn.Parameter(torch.ones(2, width))

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, causal: bool) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(F.rms_norm(x, (width,), self.norms[0]))
        q, k, v = qkv.split([self.heads * self.dim, self.kv_heads * self.dim, self.kv_heads * self.dim], dim=-1)
        q = q.view(batch, tokens, self.heads, self.dim).transpose(1, 2)
        k = k.view(batch, tokens, self.kv_heads, self.dim).transpose(1, 2)
        v = v.view(batch, tokens, self.kv_heads, self.dim).transpose(1, 2)
        keys[:, :, -tokens:].copy_(k)
        values[:, :, -tokens:].copy_(v)
        attended = F.scaled_dot_product_attention(q, keys, values, is_causal=causal, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, -1))
        gate, up = self.gate_up(F.rms_norm(x, (width,), self.norms[1])).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(torch.nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(Layer(shape) for _ in range(shape[0]))
        self.embedding = torch.nn.Embedding(shape[6], shape[1])
        self.head = torch.nn.Linear(shape[1], shape[6], bias=False)

    def forward(self, ids: torch.Tensor, cache: torch.Tensor, causal: bool) -> torch.Tensor:
        x = self.embedding(ids)
        for layer, (keys, values) in zip(self.layers, cache):
            x = layer(x, keys, values, causal)
        return self.head(x[:, -1])


def median_seconds(step, repeats: int = 20) -> float:
    for _ in range(4):
        step()
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def copy_bandwidth() -> float:
    """Bytes a second that copies on the device read and write together."""
    source = torch.empty(2 << 30, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds(lambda: target.copy_(source), 5)


def run(name: str, mode: str, model: torch.nn.Module, batch: int, tokens: int, context: int) -> None:
    bandwidth = copy_bandwidth()
    layers, _, _, kv_heads, dim, _, vocabulary = SHAPES[name]
    ids = torch.randint(vocabulary, (batch, tokens), device="cuda")
    cache = torch.randn(layers, 2, batch, kv_heads, context + tokens, dim, device="cuda", dtype=torch.bfloat16)
    seconds = median_seconds(lambda: model(ids, cache, tokens > 1))
    embedding = vocabulary * SHAPES[name][1]  # of which a step reads a few rows
    read = 2 * (sum(p.numel() for p in model.parameters()) - embedding) + 2 * cache.numel()
    row = {
        "kind": "decode" if tokens == 1 else "prefill",
        "backend": f"torch {torch.__version__} {mode}",
        "shape": name,
        "type": "BF16",
        "sequences": batch,
        "tokens": tokens,
        "context": context,
        "ms": round(1e3 * seconds, 4),
        "tokens_per_s": round(batch * tokens / seconds, 1),
        "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "share": round(read / seconds / bandwidth, 3),
        "gpu": torch.cuda.get_device_name(),
    }
    print(json.dumps(row), flush=True)


@torch.inference_mode()
def main() -> None:
    torch.set_default_dtype(torch.bfloat16)
    for name, shape in SHAPES.items():
        with torch.device("cuda"):
            model = Model(shape)
        modes = {"eager": model, "compiled": torch.compile(model, mode="reduce-overhead")}
        for mode, callable_model in modes.items():
            for batch in BATCHES[name]:
                run(name, mode, callable_model, batch, 1, CONTEXT)
            run(name, mode, callable_model, 1, PREFILL, 0)
        del model, modes
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
