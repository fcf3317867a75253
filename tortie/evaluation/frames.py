"""Results as tables of pandas, which is imported when one is asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(columns: Mapping[str, Sequence[Any]], index: Sequence[Any] | None = None) -> "DataFrame":
    """A DataFrame of these columns.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UsageError("to_frame needs pandas: pip install pandas") from None
    return pandas.DataFrame(dict(columns), index=None if index is None else list(index))
