"""Checkpoints: everything a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn

from reprise_train.errors import TrainError
from reprise_train.files import write_atomically

CHECKPOINT_NAME = "checkpoint.pt"


@dataclass
class Position:
    """Where a run stands between two steps."""

    step: int = 0  # steps done, and so the index of the next batch
    tokens: int = 0  # tokens trained on
    started: float = 0.0  # seconds since the Unix epoch; the time budget counts from here
    deadline: float = 0.0  # the same, when the budget is a time; otherwise 0
    active_seconds: float = 0.0  # time in training steps


def save(folder: Path, settings: dict, position: Position, model: nn.Module, optimisers: list) -> None:
    """Replaces the checkpoint in `folder` in one step."""
    buffer = io.BytesIO()
    torch.save(
        {
            "settings": settings,
            "position": asdict(position),
            "model": model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "torch_rng": torch.get_rng_state(),
        },
        buffer,
    )
    write_atomically(folder / CHECKPOINT_NAME, buffer.getvalue())


def load(folder: Path) -> dict:
    """The raw contents; see `restore`. Raises TrainError when there is none or it cannot be read."""
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        raise TrainError(f"no checkpoint in {folder}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own kinds
        raise TrainError(f"cannot read {path}: {error}") from None


def restore(state: dict, model: nn.Module, optimisers: list) -> Position:
    """Puts weights, optimiser state and random state back; returns the position."""
    model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    torch.set_rng_state(state["torch_rng"])
    known = {field.name for field in fields(Position)}
    return Position(**{name: value for name, value in state["position"].items() if name in known})


def check_resume(folder: Path, resume: bool) -> None:
    """Raises TrainError when there is nothing to resume in `folder`, or a run that was not to be resumed."""
    exists = (folder / CHECKPOINT_NAME).exists()
    if resume and not exists:
        raise TrainError(f"no checkpoint in {folder} to resume from")
    if exists and not resume:
        raise TrainError(f"{folder} already holds a run: add --resume, or choose another --out")
