"""Class names: one spelling of each, and those that may be one class written in two ways."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal

from tortie.errors import UsageError
from tortie.text import quoted, shown

LONGEST = 2000
"""Characters of a class name."""
_NAMED = 10  # classes in a line
_SHORTEST = 5  # letters: "bat" and "cat" are no misspellings of each other


def class_name(name: str) -> str:
    r"""The name of a class whose folder, or whose cell in a CSV, has this name.

    macOS composes accents otherwise than others do, and spaces at the ends slip in: both are taken
    away. A class name is text that any terminal and file can show: a byte of a folder's name that
    is no UTF-8, and a character that is not seen, become ``\xe9``, ``\u202e``.

    Raises:
        UsageError: it is longer than 2,000 characters.
    """
    found = shown(unicodedata.normalize("NFC", name.strip()) or name)
    if len(found) > LONGEST:
        raise UsageError(
            f"a class name of {len(found):,} characters, {quoted(found)}: at most {LONGEST:,}"
        )
    return found


def similar_names(
    names: Sequence[str],
) -> Iterator[tuple[tuple[str, ...], Literal["writing", "spelling"]]]:
    """Sets of names that differ only in case, accents, spaces, hyphens; and pairs in one letter.

    ``Tigger``, ``tigger`` and ``Tiger`` give ``(Tigger, tigger)``, which differ in writing, and
    ``(Tiger, Tigger)``, which differ in spelling: one letter left out, added, changed, or two
    neighbours exchanged, in names of five letters or more; or a plural's s. Digits never count as
    misspelt: ``model1`` and ``model2`` are two.
    """
    written: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        written[plain_name(name)].append(name)
    for same in written.values():
        if len(same) > 1:
            yield tuple(same), "writing"
    forms: dict[str, set[str]] = defaultdict(set)  # a form with a letter less: who may have it
    for plain in written:
        forms[plain].add(plain)
        for at in range(len(plain)):
            forms[plain[:at] + plain[at + 1 :]].add(plain)
    pairs = {pair for near in forms.values() for pair in combinations(sorted(near), 2)}
    for one, other in sorted(pairs):
        if _misspelt(one, other):
            yield (written[one][0], written[other][0]), "spelling"


def names_in_line(classes: Sequence[str]) -> str:
    """The classes' names; of many their number and the first few."""
    if len(classes) <= _NAMED:
        return ", ".join(classes)
    return f"{len(classes):,} classes ({', '.join(classes[:3])}, …)"


def letters_of(name: str) -> str:
    """A name without case and accents."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def plain_name(name: str) -> str:
    """A name without case, accents, and what stands between words."""
    return re.sub(r"[\s_.\-]+", "", letters_of(name)) or name


def _misspelt(one: str, other: str) -> bool:
    """Whether two names that share a form with a letter less are one letter apart."""
    short, long = sorted((one, other), key=len)
    if re.sub(r"\D", "", one) != re.sub(r"\D", "", other):
        return False
    if long == short + "s" and len(short) >= 3:
        return True
    if len(short) < _SHORTEST:
        return False
    if len(short) < len(long):
        return True
    different = [at for at in range(len(one)) if one[at] != other[at]]
    exchanged = (
        len(different) == 2
        and different[1] == different[0] + 1
        and one[different[0]] == other[different[1]]
        and one[different[1]] == other[different[0]]
    )
    return len(different) == 1 or exchanged
