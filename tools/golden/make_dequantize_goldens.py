#!/usr/bin/env python3
"""Makes tests/data/formats/dequantize: random blocks of each weight type and the floats that `gguf` makes of them.

Needs numpy and gguf. Run from the source root:

    python tools/golden/make_dequantize_goldens.py

TYPE.blocks holds the blocks, TYPE.f32 the values.
"""

import pathlib

import gguf
import numpy as np

ROOT = pathlib.Path("tests/data/formats/dequantize")
ELEMENTS = 1024
# Byte offsets of the fp16 scales in a block: random bytes would make some of them infinities and NaNs.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}


def random_fp16(generator: np.random.Generator, count: int) -> np.ndarray:
    """Any finite value: every exponent, subnormals and both signs included."""
    bits = generator.integers(0, 0x7C00, count, dtype=np.uint16) | generator.integers(0, 2, count, dtype=np.uint16) << 15
    return bits.astype(np.uint16)


def random_blocks(generator: np.random.Generator, name: str, blocks: int, block_bytes: int) -> np.ndarray:
    data = generator.integers(0, 256, (blocks, block_bytes), dtype=np.uint8)
    for offset in SCALES[name]:
        data[:, offset : offset + 2] = random_fp16(generator, blocks).view(np.uint8).reshape(blocks, 2)
    return data


def main() -> None:
    ROOT.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(11)
    for name in ["F32", "F16", "BF16", *SCALES]:
        qtype = gguf.GGMLQuantizationType[name]
        block_elements, block_bytes = gguf.GGML_QUANT_SIZES[qtype]
        if name == "F32":
            blocks = generator.standard_normal(ELEMENTS).astype(np.float32).view(np.uint8)
        elif name == "F16":
            blocks = random_fp16(generator, ELEMENTS).view(np.uint8)
        elif name == "BF16":
            blocks = random_fp16(generator, ELEMENTS).view(np.uint8)  # as bits of bf16 they are finite too
        else:
            blocks = random_blocks(generator, name, ELEMENTS // block_elements, block_bytes).reshape(-1)
        with np.errstate(all="raise", under="ignore"):
            values = gguf.quants.dequantize(blocks.view(np.float32) if name == "F32" else
                                            blocks.view(np.float16) if name == "F16" else blocks, qtype)
        (ROOT / f"{name}.blocks").write_bytes(blocks.tobytes())
        (ROOT / f"{name}.f32").write_bytes(values.astype(np.float32).tobytes())


if __name__ == "__main__":
    main()
