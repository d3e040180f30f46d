"""A sliced model as the frozen base of a recycle module."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from reprise_train.base_model import HEAD, Base, check_finite, fingerprint, load_base, stop_ids
from reprise_train.errors import TrainError
from reprise_train.files import read_json
from reprise_train.sliced_model import SLICED_CLASS, SlicedDecoder, load_sliced

_OUTPUT_ROTATION = "output_rotation.weight"


@dataclass(frozen=True)
class SlicedBase(Base):
    """A `Base` whose hidden states lie in the basis behind the last layer (Q_L); its embedding is narrower.

    `weights` has the embedding [V, D_in] and the head [V, D], into which the final norm is folded: hidden
    states are divided by their root mean square and nothing else.
    """

    model: SlicedDecoder = field(repr=False)
    output_rotation: Tensor  # [D, D]

    def residual(self, ids: Tensor, num_layers: int) -> Tensor:
        return self.model.residual(ids, num_layers)

    def layer(self, index: int) -> dict[str, Tensor]:
        """The layer's matrices in the basis behind the last layer, where its shortcuts are the identity.

        x_out = S x for the product S of all shortcuts from x to the end, whose columns are orthonormal but
        for what slicing deletes: a matrix W that reads x reads x_out as W S^T, and one that writes x writes
        S W there.
        """
        layers = self.model.layers[index % self.config.num_layers :]
        middle = torch.eye(self.config.hidden_size)
        for later in reversed(layers[1:]):
            middle = middle @ later.ffn_shortcut.weight @ later.attention_shortcut.weight
        last, layer = middle, layers[0]
        middle = last @ layer.ffn_shortcut.weight
        first = middle @ layer.attention_shortcut.weight
        ones = torch.ones(self.config.hidden_size)
        weights = {"attention_norm.weight": ones, "ffn_norm.weight": ones}
        for name in ("query", "key", "value"):
            weights[f"attention.{name}.weight"] = layer.attention.get_submodule(name).weight @ first.T
        weights["attention.out.weight"] = middle @ layer.attention.out.weight
        for name in ("gate", "up"):
            weights[f"ffn.{name}.weight"] = layer.ffn.get_submodule(name).weight @ middle.T
        weights["ffn.down.weight"] = last @ layer.ffn.down.weight
        return weights

    def fingerprint(self) -> str:
        return fingerprint(self.config, [self.output_rotation])


def load_any_base(path: Path) -> Base:
    """A dense model as `load_base`, or a sliced one. Raises TrainError."""
    config = path / "config.json"
    raw = read_json(config) if config.exists() else {}
    if raw.get("architectures") != [SLICED_CLASS]:
        return load_base(path)
    model, files = load_sliced(path)
    check_finite(path, model.state_dict())
    if model.config.hidden_size != model.config.dense.hidden_size:
        raise TrainError(
            f"{path}: the last layer must end in the full width, {model.config.dense.hidden_size}"
        )
    if _OUTPUT_ROTATION not in files.tensors:
        raise TrainError(f"{path}: {_OUTPUT_ROTATION} is missing: slice the model again, with reprise slice")
    model.requires_grad_(False)
    weights = {
        "embed.weight": model.embed.weight.detach(),
        HEAD: model.head.weight.detach(),
        "norm.weight": torch.ones(model.config.hidden_size),
    }
    rotation = files.tensors[_OUTPUT_ROTATION].float()
    name = raw.get("_name_or_path") or path.name
    return SlicedBase(name, path, model.config.dense, weights, stop_ids(raw), model, rotation)
