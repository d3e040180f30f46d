"""What the directories of recycle modules and drafts have in common: docs/file-formats.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reprise_train.base_model import Base, check_finite
from reprise_train.errors import TrainError
from reprise_train.files import read_json, replace_directory, write_json
from reprise_train.gguf_files import gguf_name, read_gguf
from reprise_train.tensor_files import read_tensors, write_tensors

FileName = Callable[[str], str]
"""Our name of a parameter to the file's."""

_GGUF_KINDS = {"RepriseRecycleModule": "reprise_recycle", "RepriseDraft": "reprise_draft"}
"""Class in `config.json` to `general.architecture` in `model.gguf`, which `reprise quantize` writes."""


def write_proposer(
    model: nn.Module,
    file_name: FileName,
    config: dict,
    base: Base,
    draft_ids: Tensor,
    folder: Path,
    card: str,
) -> None:
    """Writes the whole directory, or nothing; weights are rounded to bf16. Raises TrainError.

    `config` is completed by what ties the directory to its base.
    """
    tied = {
        "draft_vocab_size": len(draft_ids),
        "base_sha256": base.fingerprint(),
        "base_name": base.name,
        "torch_dtype": "bfloat16",
    }

    def write(partial: Path) -> None:
        weights = {
            file_name(name): weight.detach().to("cpu", torch.bfloat16).contiguous()
            for name, weight in model.named_parameters()
        }
        if len(draft_ids) < base.config.vocab_size:
            weights["d2t"] = draft_ids.cpu().contiguous()
        write_tensors(partial / "model.safetensors", weights)
        write_json(partial / "config.json", config | tied)
        (partial / "README.md").write_text(card, encoding="utf-8")

    replace_directory(folder, write)


@dataclass(frozen=True)
class StoredWeights:
    """Tensors under the names of their file, and what it calls our parameters."""

    tensors: dict[str, Tensor]
    file_name: FileName


def read_proposer(folder: Path, base: Base, file_name: FileName) -> tuple[dict, StoredWeights]:
    """Configuration and weights; `file_name` is for safetensors. Quantised weights are dequantised.

    Raises TrainError when they cannot be read, are not finite or belong to another base.
    """
    raw = read_json(folder / "config.json")
    stored = _read_weights(folder, raw, file_name)
    made_for, expected = raw.get("base_sha256"), base.fingerprint()
    if made_for != expected:
        raise TrainError(f"{folder} was made for {made_for}, not for {base.path} ({expected})")
    check_finite(folder, stored.tensors)
    return raw, stored


def _read_weights(folder: Path, raw: dict, file_name: FileName) -> StoredWeights:
    gguf, floats = folder / "model.gguf", folder / "model.safetensors"
    if not gguf.exists():
        return StoredWeights(read_tensors(floats), file_name)
    if floats.exists():
        raise TrainError(f"{folder} has both {floats.name} and {gguf.name}, and may have only one of them")
    fields, tensors = read_gguf(gguf)
    kind, expected = (
        fields.get("general.architecture"),
        _GGUF_KINDS.get((raw.get("architectures") or [""])[0]),
    )
    if kind != expected:
        raise TrainError(f"{gguf}: general.architecture is {kind!r}, expected {expected!r}")
    return StoredWeights(tensors, gguf_name)


def fill_proposer(model: nn.Module, stored: StoredWeights, raw: dict, base: Base, folder: Path) -> Tensor:
    """Puts the stored weights into `model`; returns the draft ids. Raises TrainError when they do not fit."""
    try:
        model.load_state_dict(
            {name: stored.tensors[stored.file_name(name)].float() for name, _ in model.named_parameters()}
        )
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    return _draft_ids(stored, raw, base, folder)


def _draft_ids(stored: StoredWeights, raw: dict, base: Base, folder: Path) -> Tensor:
    vocab = base.config.vocab_size
    size = raw.get("draft_vocab_size", vocab)
    if size == vocab:
        return torch.arange(vocab)
    ids = stored.tensors.get("d2t")
    fits = ids is not None and not ids.is_floating_point() and ids.shape == (size,) and size > 0
    if not fits or (ids.diff() <= 0).any() or ids[0] < 0 or ids[-1] >= vocab:
        raise TrainError(f"{folder}: tensor 'd2t' is not {size} ascending ids below {vocab}")
    return ids.long()
