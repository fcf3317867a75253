"""The two ways in which tortie says no, a run that failed and a wrong use; and its warnings."""


class TortieError(Exception):
    """A run that failed: one line that names what, why and the way out. Exit code 1."""

    exit_code = 1


class UsageError(TortieError, ValueError):
    """A wrong use: an invalid argument. Exit code 2."""

    exit_code = 2


class TortieWarning(UserWarning):
    """What a user should know of a run that goes on all the same; the command line says it once."""
