"""Safetensors files, with errors for people."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reprise_train.errors import TrainError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Raises TrainError when the file is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainError(f"cannot read {path}: {error}") from None


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Raises TrainError when the file cannot be written."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise TrainError(f"cannot write {path}: {error}") from None
