"""Q4_K and Q6_K blocks from floats, by the plain rule: scales from the extremes, nearest codes.

The gguf package reads these types but does not write them. Layouts: ggml's block_q4_K and block_q6_K.
"""
from __future__ import annotations

import numpy as np

SUPER_BLOCK = 256


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where that is 0."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, 0, numerator / safe)


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def quantize_q4_k(rows: np.ndarray) -> np.ndarray:
    """[n, columns] floats to [n, bytes] uint8; columns a multiple of 256."""
    x = rows.reshape(-1, 8, 32).astype(np.float32)
    minimum = np.maximum(-x.min(axis=2), 0)
    scale = (x.max(axis=2) + minimum) / 15
    d = _half(scale.max(axis=1, keepdims=True) / 63)
    d_min = _half(minimum.max(axis=1, keepdims=True) / 63)
    scales = np.clip(np.rint(_ratio(scale, d.astype(np.float32))), 0, 63).astype(np.uint8)
    minimums = np.clip(np.rint(_ratio(minimum, d_min.astype(np.float32))), 0, 63).astype(np.uint8)
    step = (d.astype(np.float32) * scales)[:, :, None]
    offset = (d_min.astype(np.float32) * minimums)[:, :, None]
    codes = np.clip(np.rint(_ratio(x + offset, np.broadcast_to(step, x.shape))), 0, 15).astype(np.uint8)

    packed = np.empty((len(x), 12), np.uint8)
    packed[:, 0:4] = scales[:, :4] | scales[:, 4:] >> 4 << 6
    packed[:, 4:8] = minimums[:, :4] | minimums[:, 4:] >> 4 << 6
    packed[:, 8:12] = scales[:, 4:] & 15 | (minimums[:, 4:] & 15) << 4
    nibbles = (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(len(x), 128)
    blocks = np.concatenate([d.view(np.uint8), d_min.view(np.uint8), packed, nibbles], axis=1)
    return blocks.reshape(len(rows), -1)


def quantize_q6_k(rows: np.ndarray) -> np.ndarray:
    """[n, columns] floats to [n, bytes] uint8; columns a multiple of 256."""
    x = rows.reshape(-1, 16, 16).astype(np.float32)
    scale = np.abs(x).max(axis=2) / 31
    d = _half(scale.max(axis=1, keepdims=True) / 127)
    scales = np.clip(np.rint(_ratio(scale, d.astype(np.float32))), 0, 127).astype(np.int8)
    step = (d.astype(np.float32) * scales)[:, :, None]
    codes = np.clip(np.rint(_ratio(x, np.broadcast_to(step, x.shape))), -32, 31) + 32
    # Two halves of four quarters of 32.
    q = codes.astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.stack([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
    blocks = np.concatenate(
        [low.reshape(-1, 128), high.reshape(-1, 64), scales.view(np.uint8), d.view(np.uint8)], axis=1)
    return blocks.reshape(len(rows), -1)
