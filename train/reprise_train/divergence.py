"""The divergences of DistillSpec between a target and a student distribution, with closed-form gradients.

p = softmax(target logits), q = softmax(student logits), z = the student's logits. Per row:

    fkl  sum p log(p/q)                       d/dz_i = q_i - p_i
    rkl  sum q log(q/p)                       d/dz_i = q_i (log(q_i/p_i) - RKL)
    tvd  1/2 sum |p - q|                      d/dz_i = q_i (s_i - sum q_j s_j),  s_i = [q_i > p_i]
    jsd  b KL(p|m) + (1-b) KL(q|m)            d/dz_i = q_i (g_i - sum q_j g_j),  g_i = (1-b) log(q_i/m_i)
         with m = b p + (1-b) q

TVD is one minus the acceptance rate of speculative sampling. The target gets no gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DIVERGENCES = ("fkl", "rkl", "tvd", "jsd")


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student: Tensor, target: Tensor, kind: str, beta: float) -> Tensor:
        value, gradient = _FORMULAS[kind](target.detach(), student.detach(), beta)
        ctx.save_for_backward(gradient.to(student.dtype))
        return value

    @staticmethod
    def backward(ctx, upstream: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.unsqueeze(-1).to(gradient.dtype), None, None, None


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _log_sum_exp(logits: Tensor, probabilities: Tensor) -> Tensor:
    """From the likeliest entry, [N]: cheaper than another pass of exponentials."""
    return logits.amax(-1).to(probabilities.dtype) - probabilities.amax(-1).log()


def _fkl(target: Tensor, student: Tensor, _: float) -> tuple[Tensor, Tensor]:
    p, q = _softmax(target), _softmax(student)
    value = (p * (target - student)).sum(-1) - _log_sum_exp(target, p) + _log_sum_exp(student, q)
    return value, q.sub_(p)


def _rkl(target: Tensor, student: Tensor, _: float) -> tuple[Tensor, Tensor]:
    log_q = _log_softmax(student)
    q, ratio = log_q.exp(), log_q - _log_softmax(target)
    value = (q * ratio).sum(-1)
    return value, q * (ratio - value.unsqueeze(-1))


def _tvd(target: Tensor, student: Tensor, _: float) -> tuple[Tensor, Tensor]:
    p, q = _softmax(target), _softmax(student)
    excess = q - p
    return excess.clamp_min(0).sum(-1), _centred(q, (excess > 0).to(q.dtype))


def _jsd(target: Tensor, student: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    log_p, log_q = _log_softmax(target), _log_softmax(student)
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    q = log_q.exp()
    from_p = (log_p.exp() * (log_p - log_m)).sum(-1)
    from_q = (q * (log_q - log_m)).sum(-1)
    return beta * from_p + (1 - beta) * from_q, _centred(q, (1 - beta) * (log_q - log_m))


def _centred(q: Tensor, g: Tensor) -> Tensor:
    """q_i (g_i - sum_j q_j g_j): how a gradient with respect to log q arrives at the logits."""
    return q * (g - (q * g).sum(-1, keepdim=True))


_FORMULAS = {"fkl": _fkl, "rkl": _rkl, "tvd": _tvd, "jsd": _jsd}


def divergence(kind: str, student: Tensor, target: Tensor, beta: float = 0.5) -> Tensor:
    """D(p, q) in nats per row, [N] of logits [N, V] each; differentiable in `student` (once).

    `kind` is one of DIVERGENCES; `beta`, strictly between 0 and 1, is JSD's.
    """
    return _Divergence.apply(student, target, kind, beta)


@torch.no_grad()
def acceptance(student: Tensor, target: Tensor) -> Tensor:
    """sum min(p, q) per row, [N]: the chance that a token drawn from q is accepted."""
    return torch.minimum(torch.softmax(student.float(), -1), torch.softmax(target.float(), -1)).sum(-1)
