"""A trained module as the directory that `--recycle` loads: docs/file-formats.md, "Recycle module"."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.hf_names import layer_name, size_fields
from reprise_train.proposer_files import fill_proposer, read_proposer, write_proposer
from reprise_train.recycle_module import ModuleConfig, RecycleModule

ARCHITECTURE = "RepriseRecycleModule"


def file_name(name: str) -> str:
    """Our name of a module parameter to the file's."""
    return layer_name(name) or name


def export_module(module: RecycleModule, base: Base, draft_ids: Tensor, folder: Path, card: str) -> None:
    """Writes the whole directory, or nothing. Raises TrainError."""
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": "reprise_recycle",
        "hidden_kind": "post_norm",
        **size_fields(module.config.layer),
        "embedding_size": module.config.embedding_size,
        "num_hidden_layers": module.config.num_layers,
        "max_draft_tokens": module.config.max_draft_tokens,
    }
    write_proposer(module, file_name, config, base, draft_ids, folder, card)


def load_module(folder: Path, base: Base) -> tuple[RecycleModule, Tensor]:
    """An exported module in fp32, and its draft ids. Raises TrainError when it is not a module of `base`."""
    raw, stored = read_proposer(folder, base, file_name)
    layers, longest = raw.get("num_hidden_layers", 0), raw.get("max_draft_tokens", 0)
    module = RecycleModule(ModuleConfig(base.config, layers, longest, base.embedding.shape[1]))
    return module, fill_proposer(module, stored, raw, base, folder)
