"""What an acceptance rate is worth: the expected speed-up of speculative decoding (Leviathan et al. 2023)."""

from __future__ import annotations

_LONGEST_DRAFT = 16


def block_efficiency(acceptance: float, draft_tokens: int) -> float:
    """Expected tokens of one target pass that verifies `draft_tokens` drafted ones, each accepted alike."""
    return sum(acceptance**accepted for accepted in range(draft_tokens + 1))


def best_speedup(acceptance: float, cost: float) -> tuple[float, int]:
    """The largest expected speed-up over any draft length, and that length; 1 and 0 when drafting loses.

    `cost` is the time of one draft step over that of a target pass, which is taken to be the same for one
    token and for a few.
    """
    return max(
        (block_efficiency(acceptance, tokens) / (1 + cost * tokens), tokens)
        for tokens in range(_LONGEST_DRAFT + 1)
    )
