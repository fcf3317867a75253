"""The two ways in which tortie says no, a run that failed and a wrong use; and its warnings."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")


class TortieError(Exception):
    """A run that failed: one line that names what, why and the way out. Exit code 1."""

    exit_code = 1


class UsageError(TortieError, ValueError):
    """A wrong use: an invalid argument. Exit code 2."""

    exit_code = 2


class TortieWarning(UserWarning):
    """What a user should know of a run that goes on all the same; the command line says it once."""


def short_traceback(function: Callable[_Given, _Returned]) -> Callable[_Given, _Returned]:
    """A function of the public interface, whose errors show where it was called, not its inside.

    The message of a :class:`TortieError` says all that the user can act on.
    """

    @functools.wraps(function)
    def called(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        try:
            return function(*args, **kwargs)
        except TortieError as error:
            raise error.with_traceback(None) from error.__cause__

    return called
