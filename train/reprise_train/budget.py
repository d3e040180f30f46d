"""How long a run lasts, and how far it has come: counted in steps, in tokens or in wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from reprise_train.checkpoint import Position
from reprise_train.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """Exactly one of the four is set; `until` is seconds since the Unix epoch.

    A time budget is wall-clock time: a run that is stopped for a while, or shares its machine, does fewer
    steps and still ends its learning-rate decay on time.
    """

    steps: int | None = None
    tokens: int | None = None
    minutes: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise UsageError("give exactly one of --steps, --tokens, --minutes and --until")
        ((name, value),) = given.items()
        if value <= 0:
            raise UsageError(f"--{name} must be above 0, not {value:g}")

    def deadline(self, started: float) -> float:
        """When a run begun at `started` ends, in seconds since the Unix epoch; 0 without a time budget."""
        if self.minutes is not None:
            return started + 60 * self.minutes
        return self.until or 0.0

    def progress(self, position: Position, now: float) -> float:
        """0 at the start, 1 or more when the budget is spent."""
        if self.steps is not None:
            return position.step / self.steps
        if self.tokens is not None:
            return position.tokens / self.tokens
        return (now - position.started) / max(1e-9, position.deadline - position.started)

    def seconds_left(self, position: Position, now: float) -> float:
        """Until the deadline, or an estimate from the speed so far."""
        if position.deadline:
            return position.deadline - now
        progress = self.progress(position, now)
        return position.active_seconds * (1 - progress) / progress if progress else 0.0


def parse_time(text: str) -> float:
    """Seconds since the Unix epoch of an ISO 8601 time, in UTC unless it names a zone. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until wants a time like 2030-01-31T06:00, not '{text}'") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class LengthSchedule:
    """Sequence lengths and the share of the budget from which each applies, as in `256@0,512@0.4`.

    Short sequences first make the early steps cheaper; positions are rotary, so nothing else changes.
    """

    stages: tuple[tuple[int, float], ...]

    @staticmethod
    def parse(text: str) -> LengthSchedule:
        """Raises UsageError unless lengths grow, divide the longest, and shares rise from 0 to below 1."""
        try:
            stages = tuple(
                (int(length), float(share or 0))
                for length, _, share in (part.partition("@") for part in text.split(","))
            )
        except ValueError:
            raise UsageError(
                f"--seq-len wants a length, or lengths with shares like 256@0,512@0.4, not '{text}'"
            ) from None
        longest = stages[-1][0]
        if any(length < 1 or longest % length for length, _ in stages):
            raise UsageError(f"--seq-len: each length must divide the longest, {longest}")
        if stages[0][1] != 0 or any(a >= b or s >= t or t >= 1 for (a, s), (b, t) in pairwise(stages)):
            raise UsageError("--seq-len: lengths and shares must rise, from share 0 and below 1")
        return LengthSchedule(stages)

    @property
    def longest(self) -> int:
        return self.stages[-1][0]

    def at(self, progress: float) -> int:
        """The length in use at a progress of 0…1."""
        return [length for length, share in self.stages if share <= max(0.0, progress)][-1]
