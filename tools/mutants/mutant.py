"""One broken line."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    line: str  # must occur exactly once
    broken: str
    tests: str = "engine_test"  # the binary that must turn red
    cases: str = ""  # of its test cases, those whose names begin so; empty: all
    # An emulated kernel must be right in both orders of threads (forward, reverse), host code also when streams
    # are deferred: red in any is red.
    schedules: tuple[str, ...] = ("forward",)
