"""Where predictions go: as lines, JSON or CSV on stdout, or into a file."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tortie.cli import show
from tortie.errors import TortieError

if TYPE_CHECKING:
    from tortie.evaluation.journal import Journal
    from tortie.evaluation.prediction import Prediction

_SHOWN = 3  # classes in a line
_FIRST = 16  # photographs in a part, so that the first ones are there soon
_LARGEST = 512


class Output:
    """Takes predictions as they come; this one prints a line each."""

    unreadable = 0
    """Number of photographs without a prediction."""

    def __init__(self, top: int | None) -> None:
        self._top = top
        self._taken = 0

    @property
    def done(self) -> int:
        """Number of photographs that have a prediction, or a reason why not."""
        return self._taken

    def names(self, names: Iterator[Path]) -> Iterator[Path]:
        """Those of the photographs that are to be predicted."""
        return names

    def take(self, predictions: "Sequence[Prediction]") -> None:
        """The next predictions, in the order of the photographs."""
        self.unreadable += sum(1 for one in predictions if one.reason)
        for one in predictions:
            if one.reason:
                show.say(f"{one.source!s}: {one.reason}", always=True)
        self.show(predictions)
        self._taken += len(predictions)

    def show(self, predictions: "Sequence[Prediction]") -> None:
        """Show them; those without a class were told of."""
        show.result(
            None, [_line(one, self._top or _SHOWN) for one in predictions if not one.reason]
        )

    def documents(self, predictions: "Sequence[Prediction]") -> list[dict[str, Any]]:
        """As JSON, with as many classes as were asked for."""
        found = [one.document(str(one.source)) for one in predictions]
        for one in found:
            if self._top and "probabilities" in one:
                one["probabilities"] = dict(list(one["probabilities"].items())[: self._top])
        return found

    def end(self) -> None:
        """All predictions were taken."""

    def stopped(self) -> None:
        """Ctrl-C: an error that says what is kept."""
        raise KeyboardInterrupt

    def failed(self, error: TortieError) -> TortieError:
        """What ended the run: a server that fails, a disk that is full."""
        return error

    def close(self) -> None:
        """No more predictions come."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stopped: object) -> None:
        self.close()


class JsonOutput(Output):
    """One JSON document on stdout, when all are there."""

    def __init__(self, top: int | None) -> None:
        super().__init__(top)
        self._all: list[dict[str, Any]] = []

    def show(self, predictions: "Sequence[Prediction]") -> None:
        """Keep them."""
        self._all += self.documents(predictions)

    def end(self) -> None:
        """Print the document."""
        show.result(self._all, [])


class StreamOutput(Output):
    """Lines of JSON, or rows of a CSV, on stdout as they come."""

    def __init__(self, top: int | None, format: str, classes: Sequence[str]) -> None:
        from tortie.evaluation.prediction_formats import writer

        super().__init__(top)
        self._writer = writer(format, classes, sys.stdout.isatty())
        show.raw(self._writer.begin)

    def show(self, predictions: "Sequence[Prediction]") -> None:
        """Print them."""
        each = self._writer.each
        show.raw(b"".join(each(one, 0) for one in self.documents(predictions)))


class FileOutput(Output):
    """A file in the format of its suffix, which is there when all predictions are."""

    def __init__(self, top: int | None, journal: "Journal", classes: Sequence[str]) -> None:
        super().__init__(top)
        self._journal, self._classes = journal, classes

    @property
    def done(self) -> int:
        """Number of photographs that the journal has."""
        return self._journal.kept

    def names(self, names: Iterator[Path]) -> Iterator[Path]:
        """Those that the journal does not have."""
        yield from self._journal.skip(names)

    def show(self, predictions: "Sequence[Prediction]") -> None:
        """Add them to the journal."""
        self._journal.add(self.documents(predictions))

    def end(self) -> None:
        """Write the file."""
        from tortie.evaluation.prediction_formats import format_of

        journal = self._journal
        self.unreadable = journal.unreadable
        journal.finish(format_of(journal.target), self._classes)
        bad = f", {self.unreadable:,} of them cannot be read" if self.unreadable else ""
        show.result(
            {
                "file": str(journal.target), "photographs": journal.kept,
                "unreadable": self.unreadable,
            },
            [f"{journal.target}: {journal.kept:,} photographs{bad}"],
        )  # fmt: skip

    def failed(self, error: TortieError) -> TortieError:
        """What ended the run, and what is kept."""
        if not self._journal.kept:
            return error
        return TortieError(
            f"{error}; {self._journal.kept:,} predictions are kept in {self._journal.path}: the "
            "same command with --resume goes on"
        )

    def close(self) -> None:
        """Close the journal, which stays where there is no file yet."""
        self._journal.close()

    def stopped(self) -> None:
        """Say what is kept."""
        if not self._journal.kept:
            raise KeyboardInterrupt
        raise TortieError(
            f"stopped; {self._journal.kept:,} predictions are kept in {self._journal.path}: the "
            "same command with --resume goes on"
        )


def chosen_output(
    form: str, top: int | None, classes: Sequence[str], journal: "Journal | None"
) -> Output:
    """The output of a format: lines, json, jsonl or csv; into a file where there is a journal."""
    if journal is not None:
        return FileOutput(top, journal, classes)
    if form == "json":
        return JsonOutput(top)
    return Output(top) if form == "lines" else StreamOutput(top, form, classes)


def _line(one: "Prediction", top: int) -> str:
    """One photograph: its classes, or that none is sure enough, and whether it is a stranger."""
    from tortie.evaluation.metrics import shown_probability

    likeliest = list(one.probabilities.items())[:top]
    ranked = ", ".join(f"{name} {shown_probability(p)}" for name, p in likeliest)
    unsure = "rejected: " if one.rejected else ""
    far = ""
    if one.is_strange:
        beyond = one.novelty_percentile or 0
        most = "any" if beyond >= 99.95 else "99 in 100" if beyond >= 99 else "19 in 20"
        far = f"; unlike its training photographs, farther from them than {most} of those held out"
    held = ""
    if one.prediction_set is not None:
        held = f"; set: {', '.join(one.prediction_set)}"
    return f"{one.source!s}  {unsure}{ranked}{held}{far}"


def predict_each(
    output: Output,
    names: Iterator[Path],
    classify: "Callable[[list[Path], Callable[[int, int], None]], Sequence[Prediction]]",
    tell: Callable[[int], None],
) -> None:
    """Predict names as they come, a part after the other, each of about a second.

    Args:
        output: takes the predictions.
        names: photographs.
        classify: predicts a part, and tells how far it is.
        tell: told the number of photographs that are done.
    """
    from tortie.images.names import in_parts
    from tortie.images.remote import RemoteError

    size = [_FIRST]
    try:
        for part in in_parts(output.names(names), lambda: size[0]):
            begin = time.monotonic()
            output.take(classify(part, lambda done, _: tell(output.done + done)))
            if len(part) == size[0] and time.monotonic() - begin < 1:
                size[0] = min(2 * size[0], _LARGEST)
        output.end()
    except KeyboardInterrupt:
        output.stopped()
    except RemoteError as error:
        raise output.failed(error) from None
