"""Files that are either whole or not there. No PyTorch here: `generate` needs none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from reprise_train.errors import TrainError

_SIDE_FILES = (
    "tokenizer.json",
    "tokenizer.gguf",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step: a kill or a power cut leaves the old file or the new one.

    Raises TrainError, and leaves nothing, when it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrainError(f"cannot write {path}: {error.strerror}") from None


def replace_directory(folder: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a new directory beside `folder`, then moves it there: it is whole or not there.

    Raises TrainError when `folder` exists and is not an earlier export (it has no config.json), or cannot be
    written.
    """
    if folder.exists() and not (folder / "config.json").exists() and any(folder.iterdir()):
        raise TrainError(f"{folder} exists and is not an exported model: choose another directory")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise TrainError(f"cannot write beside {folder}: {error.strerror}") from None
    try:
        write(partial)
        partial.chmod(0o755)
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors makes its files readable by their owner only
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        raise TrainError(f"cannot write {folder}: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_json(path: Path) -> dict:
    """Raises TrainError for a file that is missing or holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise TrainError(f"{path} is not a JSON object")
    return content


def copy_side_files(source: Path, folder: Path) -> None:
    """The tokenizer and what else a model's directory has beside weights and configuration."""
    for name in _SIDE_FILES:
        if (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
