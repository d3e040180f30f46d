"""What a person can put right: each becomes one line on standard error, without a traceback."""


class UsageError(Exception):
    """The command line asks for something impossible. Exit status 2."""


class TrainError(Exception):
    """The input or the environment does not allow the work: a missing file, an empty text. Exit status 1."""
