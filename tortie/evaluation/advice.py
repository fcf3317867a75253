"""What the figures of a report mean, in plain words: how far to trust them, what to do next."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tortie.evaluation.coverage import Covered
from tortie.evaluation.metrics import Scores, amount, wilson
from tortie.text import quoted

_ADVICE = 3  # pieces at the most, before the one that always holds
_FEW = 20  # photographs of a class, below which its recall is hardly known
_OFTEN = 0.05  # share of a class from which on what it is taken for is worth a word
_NAMED = 3  # classes in a sentence
_UNEVEN = 3  # times as many photographs of one class as of another
ELSEWHERE = (
    "The figure speaks of photographs like these. Take some on another day, with another camera, "
    "in another place, and count again with tortie evaluate."
)

_NOT_LEARNT = (
    "It is not shown to have learnt what tells the classes apart, so its mistakes say nothing yet: "
    "add photographs of every class"
)
NOT_LEARNT = f"{_NOT_LEARNT}, or let more be learnt, before looking at any of them."

# In the studio each photograph is learnt from as it is added, and the camera is there to try it.
_IN_STUDIO = "Add photographs of every class, of several things, from several sides."
_NOT_LEARNT_IN_STUDIO = f"{_NOT_LEARNT}, of several things and from several sides."
_ELSEWHERE_IN_STUDIO = (
    "The figure speaks of photographs like these. Add some of another day, with another camera, in "
    "another place, and see in Try it whether it tells them apart."
)


def trust(scores: Scores | None, reason: str | None) -> str:
    """How far to trust the accuracy.

    Args:
        scores: every figure, or ``None`` where there was too little to tell.
        reason: why there are none.
    """
    if scores is None:
        return f"How good this classifier is cannot be said yet: {reason}."
    accuracy = scores.accuracy
    least, most = wrong_of_100(accuracy.value * accuracy.n, accuracy.n)
    count = f"{least} to {most}" if least < most else f"{least}"
    words = f"Of 100 new photographs like these, expect it to be wrong on {count}."
    words += "".join(f" {one}" for one in warnings(scores))
    counted = {name: one for name, one in scores.per_class.items() if one.n}
    weakest, one = min(counted.items(), key=lambda pair: pair[1].recall)
    if one.recall and one.recall < 0.5 * (1 + accuracy.value) - 0.15:
        words += f" It is weakest on {weakest}: {one.recall:.0%} of them are recognised."
    if accuracy.high - accuracy.low > 0.1:
        few = f"{accuracy.n:g} photographs were" if accuracy.n > 1 else "one photograph was"
        words += f" The range is wide because only {few} counted; more photographs would narrow it."
    return words


def wrong_of_100(right: float, n: float) -> tuple[int, int]:
    """How many of 100 new photographs will be wrong: the range that holds in 95 cases of 100.

    Beta-binomial: the share of wrong answers is uncertain by what was counted (Beta, from Jeffreys'
    prior of a half either way), and the 100 vary about it. The interval of the share alone, as
    Wilson's, is narrower: it speaks of any number of photographs, not of 100.
    """
    wrong, fine, new = n - right + 0.5, right + 0.5, 100
    share = [
        math.exp(
            math.lgamma(new + 1) - math.lgamma(k + 1) - math.lgamma(new - k + 1)
            + math.lgamma(k + wrong) + math.lgamma(new - k + fine) - math.lgamma(new + n + 1)
            - math.lgamma(wrong) - math.lgamma(fine) + math.lgamma(n + 1)
        )
        for k in range(new + 1)
    ]  # fmt: skip
    below = np.cumsum(share)
    return int(np.searchsorted(below, 0.025)), int(np.searchsorted(below, 0.975))


def beside(scores: Scores) -> str:
    """What stands beside an accuracy: its baseline, and the classes that are never recognised."""
    base, never = scores.baseline, scores.never_recognised
    told = [f"{quoted(name)}: 0 of {amount(n)} recognised" for name, n in never.items()]
    more = [f"{len(told) - _NAMED:,} more classes never recognised"] if len(told) > _NAMED else []
    return "; ".join(
        [f"always saying {quoted(base.label)}: {base.value:.1%}", *told[:_NAMED], *more]
    )


def warnings(scores: Scores) -> list[str]:
    """What makes an accuracy worth less than it seems, a sentence each."""
    told = []
    value, base = scores.accuracy.value, scores.baseline
    if not scores.is_beyond_baseline:
        better = "No better than" if value <= base.value else "Not shown to be better than"
        told.append(f"{better} always saying {quoted(base.label)} ({base.value:.1%}).")
    never = [f"{quoted(name)} (0 of {amount(n)})" for name, n in scores.never_recognised.items()]
    if never:
        more = f" and {len(never) - _NAMED:,} more" if len(never) > _NAMED else ""
        told.append(f"Never recognised: {', '.join(never[:_NAMED])}{more}.")
    return told


def next_photographs(
    scores: Scores | None, trained: Mapping[str, int], in_studio: bool = False
) -> list[str]:
    """What to photograph next: at most three pieces of advice from the figures, and one for all.

    Args:
        scores: every figure, or ``None`` where there was too little to tell.
        trained: photographs of each class that were trained on; empty where it is not known.
        in_studio: whether it is read where photographs are added, and not in a report.
    """
    if scores is not None and not scores.is_beyond_baseline:
        return [_NOT_LEARNT_IN_STUDIO if in_studio else NOT_LEARNT]
    advice = [
        *_more_of_the_rare(trained),
        *(_more_of_the_weakest(scores) if scores else ()),
        *(_like_the_confused(scores) if scores else ()),
        *(_more_to_count(scores) if scores else ()),
    ]
    if scores is None:
        again = "Add photographs of every class, and fit again."
        advice.append(_IN_STUDIO if in_studio else again)
    return [*advice[:_ADVICE], _ELSEWHERE_IN_STUDIO if in_studio else ELSEWHERE]


def worth_refusing(curve: Sequence[Covered]) -> Covered | None:
    """The point of the curve at which one answer in ten, or a little more, is refused.

    ``None`` where no threshold refuses any, or where refusing does not help.
    """
    for one in curve:
        if one.coverage <= 0.9:
            return one if one.accuracy > curve[0].accuracy else None
    return None


def confused(scores: Scores, most: int) -> list[tuple[str, str, float, float]]:
    """The pairs most often confused: true class, taken for, how often, of how many; most first."""
    names = list(scores.per_class)
    counts = np.array(scores.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [
        (names[i], names[j], scores.confusion[i][j], scores.per_class[names[i]].n)
        for i, j in pairs
        if counts[i, j]
    ]


def _more_of_the_rare(trained: Mapping[str, int]) -> list[str]:
    if not trained:
        return []
    rare, frequent = min(trained, key=trained.__getitem__), max(trained, key=trained.__getitem__)
    if trained[frequent] < _UNEVEN * trained[rare]:
        return []
    return [
        f"More of {rare}: it learnt from {trained[rare]:,} of them, and from "
        f"{trained[frequent]:,} of {frequent}."
    ]


def _more_of_the_weakest(scores: Scores) -> list[str]:
    """A class that is recognised less than all together, by more than chance explains."""
    counted = {name: one for name, one in scores.per_class.items() if one.n >= _FEW}
    if not counted:
        return []
    name, one = min(counted.items(), key=lambda pair: pair[1].recall)
    if wilson(one.recall * one.n, one.n).high >= scores.accuracy.value:
        return []
    return [f"More of {name}, which is recognised least: {one.recall:.0%} of them."]


def _like_the_confused(scores: Scores) -> list[str]:
    pairs = confused(scores, 1)
    if not pairs or pairs[0][2] < max(2, _OFTEN * pairs[0][3]):
        return []
    true, other, count, n = pairs[0]
    words = f"More of {true} that could be taken for {other}: {amount(count)} of {amount(n)} were"
    names = list(scores.per_class)
    back = scores.confusion[names.index(other)][names.index(true)]
    if back < 2:
        return [f"{words}."]
    return [f"{words}; and of {other} that could be taken for {true}: {amount(back)} were."]


def _more_to_count(scores: Scores) -> list[str]:
    """A class of which so few were counted that its recall is open."""
    name, one = min(scores.per_class.items(), key=lambda pair: pair[1].n)
    if one.n >= _FEW:
        return []
    if not one.n:
        return [f"More of {name}: none was counted, so how well it is recognised is not known."]
    span = wilson(one.recall * one.n, one.n)
    return [
        f"More of {name}: only {amount(one.n)} were counted, so it may recognise anything from "
        f"{span.low:.0%} to {span.high:.0%} of them."
    ]
