"""What the commands have in common: their parser, and errors as people see them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from reprise_train.errors import TrainError, UsageError


def command_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Shows the default of every flag in --help."""
    return argparse.ArgumentParser(
        prog=program,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description=description,
    )


def exit_on_error(main: Callable[[], None]) -> None:
    """Runs main; what a person can put right becomes one line on standard error and exit status 1 or 2."""
    try:
        main()
    except UsageError as error:
        _fail(str(error), 2)
    except TrainError as error:
        _fail(str(error), 1)
    except OSError as error:  # a full disk, a folder that may not be written
        _fail(f"{error.filename or 'input or output'}: {error.strerror}", 1)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
