"""Results as tables of pandas or polars, which are imported when one is asked for."""

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tortie.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame


_CONTAINERS = ("default", "pandas", "polars")


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


def check_container(name: str) -> None:
    """Refuse a container of features that is none of scikit-learn's.

    Raises:
        UsageError: with those that there are.
    """
    if name not in _CONTAINERS:
        raise UsageError(f"transform={name!r}: expected one of {', '.join(_CONTAINERS)}")


def contained(features: "NDArray[np.float32]", names: Sequence[str], container: str) -> Any:
    """Features ``(N, D)`` as an array, or as a table with named columns.

    Raises:
        UsageError: no such container, or its library is not installed.
    """
    check_container(container)
    if container == "default":
        return features
    try:
        library = importlib.import_module(container)
    except ImportError:
        needs = f"set_output(transform={container!r}) needs {container}"
        raise UsageError(f"{needs}: pip install {container}") from None
    if container == "pandas":
        return library.DataFrame(features, columns=list(names))
    return library.DataFrame(features, schema=list(names))
