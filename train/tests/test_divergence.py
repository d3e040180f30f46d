"""The closed-form gradients are those of the definitions."""

from __future__ import annotations

import pytest
import torch

from reprise_train.divergence import DIVERGENCES, acceptance, divergence

BETAS = {"fkl": (0.5,), "rkl": (0.5,), "tvd": (0.5,), "jsd": (0.1, 0.5, 0.9)}
CASES = [(kind, beta) for kind in DIVERGENCES for beta in BETAS[kind]]


def definition(kind: str, student: torch.Tensor, target: torch.Tensor, beta: float) -> torch.Tensor:
    p, q = torch.softmax(target, -1), torch.softmax(student, -1)

    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * (a / b).log()).sum(-1)

    if kind == "fkl":
        return kl(p, q)
    if kind == "rkl":
        return kl(q, p)
    if kind == "tvd":
        return 0.5 * (p - q).abs().sum(-1)
    m = beta * p + (1 - beta) * q
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def logits(seed: int, rows: int = 5, columns: int = 17) -> torch.Tensor:
    return 2 * torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kind", "beta"), CASES)
def test_value_and_gradient_equal_autograd_of_the_definition(kind: str, beta: float) -> None:
    student, target, weights = logits(1).requires_grad_(), logits(2), torch.arange(1.0, 6.0).double()
    ours = divergence(kind, student, target, beta)
    theirs = definition(kind, student, target, beta)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), student)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), student)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "beta"), CASES)
def test_gradient_equals_finite_differences(kind: str, beta: float) -> None:
    target = logits(4, rows=2, columns=6)
    torch.autograd.gradcheck(
        lambda z: divergence(kind, z, target, beta), logits(3, rows=2, columns=6).requires_grad_(), eps=1e-6
    )


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_no_divergence_from_itself_and_finite_at_extremes(kind: str) -> None:
    same = logits(5)
    assert divergence(kind, same, same).abs().max() < 1e-12
    far = torch.tensor([[80.0, 0.0, -80.0]]), torch.tensor([[-80.0, 0.0, 80.0]])
    assert torch.isfinite(divergence(kind, *far)).all()


def test_bf16_logits_give_bf16_gradients_near_the_exact_ones() -> None:
    student, target = logits(6).bfloat16().requires_grad_(), logits(7).bfloat16()
    (gradient,) = torch.autograd.grad(divergence("fkl", student, target).sum(), student)
    assert gradient.dtype == torch.bfloat16
    exact = torch.softmax(student.detach().float(), -1) - torch.softmax(target.float(), -1)
    torch.testing.assert_close(gradient.float(), exact, rtol=1e-2, atol=1e-3)


def test_acceptance_is_one_minus_total_variation() -> None:
    student, target = logits(8).float(), logits(9).float()
    torch.testing.assert_close(acceptance(student, target), 1 - divergence("tvd", student, target))
