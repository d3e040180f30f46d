"""What the directories of recycle modules and drafts have in common: docs/file-formats.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from reprise_train.base_model import Base
from reprise_train.errors import TrainError
from reprise_train.files import read_json, replace_directory, write_json
from reprise_train.tensor_files import read_tensors, write_tensors

FileName = Callable[[str], str]
"""Our name of a parameter to the file's."""


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


def read_proposer(folder: Path, base: Base) -> tuple[dict, dict[str, Tensor]]:
    """Configuration and tensors. Raises TrainError when they cannot be read or belong to another base."""
    raw, weights = read_json(folder / "config.json"), read_tensors(folder / "model.safetensors")
    made_for, expected = raw.get("base_sha256"), base.fingerprint()
    if made_for != expected:
        raise TrainError(f"{folder} was made for {made_for}, not for {base.path} ({expected})")
    return raw, weights


def fill_proposer(
    model: nn.Module, file_name: FileName, weights: dict[str, Tensor], base: Base, folder: Path
) -> Tensor:
    """Puts the stored weights into `model`; returns the draft ids. Raises TrainError when they do not fit."""
    try:
        model.load_state_dict(
            {name: weights[file_name(name)].float() for name, _ in model.named_parameters()}
        )
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    return weights.get("d2t", torch.arange(base.config.vocab_size))
