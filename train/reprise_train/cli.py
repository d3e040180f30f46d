"""Errors as people see them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from reprise_train.errors import TrainError, UsageError


def exit_on_error(main: Callable[[], None]) -> None:
    """Runs main; what a person can put right becomes one line on standard error and exit status 1 or 2."""
    try:
        main()
    except (TrainError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
