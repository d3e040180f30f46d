#!/usr/bin/env python3
"""What the kernels add to each weight type: mean NLL of `reprise eval perplexity` beside PyTorch in float32 on the same
dequantised weights.

The model's matrices are dequantised and written again in each type (K types where rows are whole super-blocks, Q8_0
elsewhere), so that both read one file. Needs the Python packages gguf, numpy and torch.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from k_quants import SUPER_BLOCK, quantize_q4_k, quantize_q6_k
from torch_llama import TorchLlama

TYPES = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q6_K, Type.BF16, Type.F16]
K_QUANTIZERS = {Type.Q4_K: quantize_q4_k, Type.Q6_K: quantize_q6_k}
LIMIT = 0.02  # nats a token


def encode(weights: np.ndarray, kind: Type) -> tuple[np.ndarray, Type]:
    """[rows, columns] floats in a type's blocks, and the type: Q8_0 where a K type does not fit."""
    if kind not in K_QUANTIZERS:
        return gguf.quants.quantize(weights, kind), kind
    if weights.shape[1] % SUPER_BLOCK == 0:
        return K_QUANTIZERS[kind](weights), kind
    return gguf.quants.quantize(weights, Type.Q8_0), Type.Q8_0


def rewrite(source: gguf.GGUFReader, kind: Type, target: Path) -> None:
    """The same model with every matrix in `kind`."""
    writer = gguf.GGUFWriter(target, source.fields["general.architecture"].contents())
    for name, field in source.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        element = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    for tensor in source.tensors:
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        weights = weights.reshape([int(n) for n in reversed(tensor.shape)])
        if weights.ndim == 1:
            writer.add_tensor(tensor.name, weights)
            continue
        blocks, stored = encode(weights, kind)
        writer.add_tensor(tensor.name, blocks, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def windows(reprise: str, model: Path, text: Path, count: int, context: int) -> list[list[int]]:
    out = subprocess.run([reprise, "tokenize", "--json", "--model", model], stdin=text.open(), check=True,
                         capture_output=True, text=True).stdout
    tokens = json.loads(out)
    return [tokens[w * context:(w + 1) * context] for w in range(count)]


def reprise_nll(arguments: argparse.Namespace, model: Path) -> float:
    out = subprocess.run(
        [arguments.reprise, "eval", "perplexity", "--json", "--model", model, "--text", arguments.text, "--context",
         str(arguments.context), "--max-windows", str(arguments.windows), "--kv-cache-dtype", "f32"],
        check=True, capture_output=True, text=True).stdout
    return float(json.loads(out)["mean_nll"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file of the Llama architecture")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--reprise", default="build/release/reprise")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--types", nargs="+", choices=[kind.name for kind in TYPES], metavar="TYPE",
                        default=[kind.name for kind in TYPES], help="default: all of %(choices)s")
    arguments = parser.parse_args()
    source = gguf.GGUFReader(arguments.model)
    batches = windows(arguments.reprise, arguments.model, arguments.text, arguments.windows, arguments.context)
    print("| type | PyTorch float32 | reprise | difference |\n|---|---:|---:|---:|")
    passed = True
    for kind in (Type[name] for name in arguments.types):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / f"{kind.name}.gguf"
            rewrite(source, kind, target)
            torch_model = TorchLlama(target)
            expected = float(np.mean([torch_model.mean_nll(tokens) for tokens in batches]))
            got = reprise_nll(arguments, target)
        passed &= abs(got - expected) <= LIMIT
        print(f"| {kind.name} | {expected:.5f} | {got:.5f} | {got - expected:+.5f} |", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
