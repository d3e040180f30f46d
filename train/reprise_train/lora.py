"""Low-rank adapters (Hu et al. 2021) on the linear maps of a frozen model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LoraLinear(nn.Module):
    """y = W x + (alpha / r) B A dropout(x); B starts at zero, so the first step changes nothing."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale, self.dropout = alpha / rank, dropout
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(F.dropout(x, self.dropout, self.training), self.a)
        return self.base(x) + self.scale * F.linear(low, self.b)

    def merged(self) -> Tensor:
        """W + (alpha / r) B A, [out, in]."""
        return self.base.weight + self.scale * self.b @ self.a


def add_adapters(model: nn.Module, parts: Iterable[str], rank: int, alpha: float, dropout: float) -> int:
    """Freezes `model` and adapts every linear map whose attribute is one of `parts`; how many there were."""
    model.requires_grad_(False)
    wanted, count = set(parts), 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in wanted and isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, rank, alpha, dropout))
                count += 1
    return count


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The adapted matrices under the names they had before `add_adapters`."""
    return {
        f"{name}.weight": module.merged().detach()
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear)
    }
