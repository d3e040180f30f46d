"""Where a recycle module starts: the base's last layers behind a regression of h_j on (h_{j-1}, e_j)."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise_train.base_model import Base
from reprise_train.hidden_data import HiddenSequence
from reprise_train.recycle_module import RecycleModule

_FIT_SLOTS = 100_000
_SCALE_TOKENS = 512
_RIDGE = 1e-3  # of the mean variance of the inputs


@torch.no_grad()
def start_from_base(module: RecycleModule, base: Base, sequences: list[HiddenSequence]) -> None:
    """Copies the base's last layers and final norm, and fits the input projection in closed form.

    The projection's output takes the place of the residual stream that enters those layers, so it is given
    that stream's size: the layers then add to it as much as they were trained to.
    """
    for index, layer in enumerate(module.layers):
        layer.load_state_dict(base.layer(index - len(module.layers)))
    final_norm = base.weights["norm.weight"]
    module.norm.weight.copy_(final_norm)
    scale = _residual_scale(base, sequences[0].tokens[:_SCALE_TOKENS], len(module.layers))
    inputs, wanted = _slots(base, sequences)
    wanted = scale * _unit(wanted / final_norm)
    gram = inputs.T @ inputs
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    module.input_projection.weight.copy_(torch.linalg.solve(gram, inputs.T @ wanted).T)


def _slots(base: Base, sequences: list[HiddenSequence]) -> tuple[Tensor, Tensor]:
    """[h_{j-1} ; e_j] with both halves normed, [N, 2D], and h_j, [N, D], of the answers' first slots."""
    inputs, wanted, slots = [], [], 0
    for sequence in sequences:
        first = sequence.answer_start
        hidden = sequence.hidden[first - 1 :].float()
        embedded = base.embedding[sequence.tokens[first:]]
        inputs.append(torch.cat((_unit(hidden[:-1]), _unit(embedded)), dim=-1))
        wanted.append(hidden[1:])
        slots += len(embedded)
        if slots >= _FIT_SLOTS:
            break
    return torch.cat(inputs), torch.cat(wanted)


def _unit(rows: Tensor) -> Tensor:
    """Each row divided by its root mean square."""
    return rows * torch.rsqrt(rows.square().mean(-1, keepdim=True) + 1e-6)


def _residual_scale(base: Base, tokens: Tensor, last_layers: int) -> float:
    """Median root mean square of the residual stream as it enters the last `last_layers` layers.

    What slicing has deleted of the stream counts as zeros.
    """
    residual = base.residual(tokens[None], base.config.num_layers - last_layers)
    return float((residual.square().sum(-1) / base.config.hidden_size).sqrt().median())
