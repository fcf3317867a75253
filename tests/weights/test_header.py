"""JSON of a file's header: what nobody writes is refused in words of ours."""

import pytest

from tortie.weights.header import parse


@pytest.mark.parametrize("digits", [21, 5000])
def test_a_number_of_too_many_digits_is_refused(digits):
    with pytest.raises(ValueError, match="a number of too many digits"):
        parse('{"a": ' + "9" * digits + "}")


def test_64_bits_are_read():
    assert parse(f'{{"a": {2**64 - 1}, "b": -3}}') == {"a": 2**64 - 1, "b": -3}
