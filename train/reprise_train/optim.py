"""The optimisers, Muon for weight matrices and AdamW for the rest, and the learning-rate curve."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor, nn

_ADAM_RMS = 0.2  # root mean square of a typical AdamW update; Muon's are scaled to it (Liu et al. 2025, §2.2)


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Each matrix of [N, rows, columns] with its singular values moved near 1, in bf16.

    Newton-Schulz iteration with the quintic coefficients of Jordan et al. 2024 ("Muon").
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, with decoupled weight decay. Parameters must be matrices.

    Updates are scaled to the size of AdamW's, so that one learning rate serves both. Matrices of one shape
    are orthogonalised together: on small models the cost is in the number of calls.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for shape, weights in by_shape.items():
                updates = orthogonalise(
                    torch.stack([self._momentum(weight, group["momentum"]) for weight in weights])
                )
                scale = group["lr"] * _ADAM_RMS * math.sqrt(max(shape))
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.float(), alpha=scale)

    def _momentum(self, weight: nn.Parameter, factor: float) -> Tensor:
        """Nesterov momentum of the gradient, same shape as the weight."""
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - factor)
        return weight.grad.lerp(state["momentum"], factor)


def build_optimisers(
    kind: str, model: nn.Module, lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """`kind` muon: Muon for the matrices inside the layers, AdamW for the rest; adamw: AdamW for everything.

    Norms do not decay.
    """
    return (_muon if kind == "muon" else _adamw)(model, lr, weight_decay)


def _muon(model: nn.Module, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    matrices, embeddings, vectors = [], [], []
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        (vectors if weight.dim() < 2 else matrices if "layers." in name else embeddings).append(weight)
    adam = torch.optim.AdamW(
        [{"params": embeddings, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=lr,
        betas=(0.9, 0.95),
        eps=1e-10,
        fused=True,
    )
    return [Muon(matrices, lr, weight_decay=weight_decay), adam]


def _adamw(model: nn.Module, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.requires_grad and weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)]


def learning_rate(peak: float, floor: float, step: int, warmup_steps: int, progress: float) -> float:
    """Linear warm-up over steps, times a cosine from `peak` to `floor` over progress 0…1 of the budget."""
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    progress = min(1.0, max(0.0, progress))
    return warm * (floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
