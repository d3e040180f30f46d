"""The flags that choose a divergence, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from reprise_train.divergence import DIVERGENCES
from reprise_train.errors import UsageError


def add_divergence_flags(add: Callable[..., object], target: str, student: str) -> None:
    """`target` and `student` are the two models, in words."""
    between = f"between the {target}'s and the {student}'s tokens"
    add("--divergence", choices=DIVERGENCES, default="fkl", help=between)
    add("--jsd-beta", type=float, default=0.5, help=f"weight of the {target}'s distribution in JSD's mixture")


def check_divergence(options: argparse.Namespace) -> None:
    """Raises UsageError for a weight that cannot work."""
    if not 0 < options.jsd_beta < 1:
        raise UsageError("--jsd-beta must be between 0 and 1")
