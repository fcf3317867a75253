"""What was expected in place of an invalid value: pydantic's findings in tortie's words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS = {
    "int_type": "a whole number", "int_parsing": "a whole number",
    "int_from_float": "a whole number", "int_parsing_size": "a smaller number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text", "path_type": "a path",
    "tuple_type": "a list", "missing": "one value more", "list_type": "a list",
    "dict_type": "names with their values",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("more than", "gt"), "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"), "less_than_equal": ("at most", "le"),
}  # fmt: skip
_LENGTHS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


def expected_value(finding: "ErrorDetails") -> str:
    """What a finding of pydantic's says was expected, such as ``expected at least 1``.

    What a validator of tortie's said stays as it is.
    """
    kind, message = finding["type"], finding["msg"].removeprefix("Value error, ")
    context: Mapping[str, Any] = finding.get("ctx", {})
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"expected {words} {context[name]:.12g}"
    if kind in _LENGTHS:
        words, name = _LENGTHS[kind]
        return f"expected {words} {context[name]} values, not {context['actual_length']}"
    if kind == "literal_error":
        return f"expected {str(context['expected']).replace(chr(39), '')}"
    return message if kind == "value_error" else message[:1].lower() + message[1:]
