"""Labels as Python gives them: whole numbers, booleans or text become class names, and come back.

A class has a name, which a folder, a file and a terminal can show. What type the labels had is
remembered beside the names, so that a prediction has the type of the labels that were learnt.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tortie.errors import UsageError
from tortie.images.class_names import class_name

LabelType = Literal["str", "int", "float", "bool"]
_INTEGERS = np.iinfo(np.int64)
_EXPECTED = "labels are text, whole numbers or booleans"


def names_of(labels: Iterable[object]) -> tuple[list[str], LabelType]:
    """The class name of each label, and the type that all of them have.

    Args:
        labels: text, whole numbers (a float that is whole, too) or booleans, of Python, NumPy,
            pandas or torch; all of one type.

    Raises:
        UsageError: a label that is missing or of another type, by its position.
    """
    names: list[str] = []
    first: LabelType | None = None
    for position, label in enumerate(_one_column(labels)):
        name, kind = _name_of(_plain(label), position)
        if first is None:
            first = kind
        elif kind != first:
            raise UsageError(
                f"label 0 is of type {first} and label {position} of type {kind}: all labels are "
                "of one type"
            )
        names.append(name)
    return names, first or "str"


def is_missing(cell: object) -> bool:
    """Whether a label, or a cell of a table, says nothing: ``None``, NaN, or what pandas has."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float) and cell != cell


def in_order(names: Iterable[str], kind: LabelType) -> tuple[str, ...]:
    """Class names in the order of the labels: numbers by their value, text by code points."""
    if kind in ("int", "float"):
        return tuple(sorted(names, key=float if kind == "float" else int))
    return tuple(sorted(names))


def labels_of(names: Sequence[str], kind: LabelType) -> NDArray[Any]:
    """The labels that class names stand for, of the type that they had, ``(n,)``.

    Raises:
        ValueError: a name that no label of this type has.
    """
    if kind == "str":
        return np.array(names, dtype=None if len(names) else "U1")
    if kind == "bool":
        labels: list[Any] = [{"False": False, "True": True}.get(name) for name in names]
    elif kind == "int":
        labels = [int(name) for name in names]
    else:
        labels = [float(name) for name in names]
    for name, label in zip(names, labels, strict=True):
        if str(label) != name or not (kind != "int" or _INTEGERS.min <= label <= _INTEGERS.max):
            raise ValueError(f"{name!r} is no label of type {kind}")
    return np.array(labels, {"int": np.int64, "float": np.float64, "bool": np.bool_}[kind])


def _one_column(labels: Iterable[object]) -> Iterable[object]:
    """The labels of a table or an array of one column."""
    shape = getattr(labels, "shape", None)
    if not isinstance(shape, tuple) or len(shape) == 1:
        return labels
    if len(shape) == 2 and shape[1] == 1:
        return np.asarray(labels)[:, 0].tolist()
    raise UsageError(f"labels of shape {shape}: expected one for each image, (N,)")


def _plain(label: object) -> object:
    """A scalar of NumPy or of torch as Python's own."""
    if getattr(label, "ndim", None) == 0 and callable(getattr(label, "item", None)):
        return label.item()  # type: ignore[attr-defined]
    return label


def _name_of(label: object, position: int) -> tuple[str, LabelType]:
    if isinstance(label, str):
        return class_name(str(label)), "str"
    if isinstance(label, bool):
        return str(label), "bool"
    if isinstance(label, int) and _INTEGERS.min <= label <= _INTEGERS.max:
        return str(int(label)), "int"
    if isinstance(label, float) and label.is_integer():
        return str(label + 0.0), "float"  # minus zero is zero
    if is_missing(label):
        raise UsageError(
            f"label {position} is {label}: every image needs a label; leave out those without"
        )
    if isinstance(label, float):
        raise UsageError(f"label {position} is {label!r}, a continuous target: {_EXPECTED}")
    if isinstance(label, int):
        raise UsageError(f"label {position} is {label!r}: {_EXPECTED}")
    raise UsageError(f"label {position} is a {type(label).__name__}: {_EXPECTED}")
