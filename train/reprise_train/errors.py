"""What ends a run early; what a person can put right becomes one line on standard error, no traceback."""


class UsageError(Exception):
    """The command line asks for something impossible. Exit status 2."""


class TrainError(Exception):
    """The input or the environment does not allow the work: a missing file, an empty text. Exit status 1."""


class Stopped(Exception):
    """A signal asked the run to end; its checkpoint is written."""
