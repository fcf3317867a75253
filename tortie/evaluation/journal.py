"""Predictions that a file will hold, kept beside it until all are there: a line of JSON each.

The journal of ``FILE`` is ``FILE.partial``. Its first line says what was asked for; a line that a
kill cut short is taken away when the command goes on.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tortie.errors import TortieError, UsageError
from tortie.evaluation.prediction_formats import write_predictions
from tortie.files import check_output, open_lock, replacing, try_lock
from tortie.text import json_text, quoted

Document = Mapping[str, Any]


class Journal:
    """The predictions of one command that writes a file.

    Attributes:
        path: of the journal.
        kept: number of predictions that it holds.
        unreadable: those of them that have a reason and no class.
    """

    def __init__(
        self,
        target: Path,
        asked: Document,
        *,
        resume: bool = False,
        force: bool = False,
        inputs: Iterable[Path] = (),
    ) -> None:
        """Open the journal of a file, or begin one.

        Args:
            target: the file.
            asked: all that the predictions depend on but the photographs.
            resume: whether to go on with what it holds.
            force: whether the file, and a journal of other predictions, give way.
            inputs: what the command reads.

        Raises:
            UsageError: the file is there, a journal that was not to be resumed, or of something
                else that was asked for.
            TortieError: another command is writing it, or it cannot be written.
        """
        check_output(target, force, inputs)
        self.target = target
        self.path = target.with_name(f"{target.name}.partial")
        self.kept = self.unreadable = 0
        self._asked = asked
        self._fresh = False
        self._file = self._open()
        try:
            self._begin(resume, force)
        except BaseException:
            self.close()
            raise

    def _open(self) -> BinaryIO:
        try:
            file = open_lock(self.path)
        except OSError as error:
            raise TortieError(f"cannot write {self.path}: {error.strerror}") from None
        if try_lock(file.fileno()) is False:
            file.close()
            raise TortieError(f"{self.path} is being written by another command")
        return file

    def _begin(self, resume: bool, force: bool) -> None:
        first = self._file.readline()
        if first.endswith(b"\n") and resume:
            self._compare(first)
            return
        count = 0
        if first.endswith(b"\n") and not force:
            count = sum(1 for _ in self._records())
        if count:
            raise UsageError(
                f"{self.path} holds {count:,} predictions of a command that was stopped: --resume "
                "goes on with it, --force begins anew"
            )
        self._fresh = True
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json_text(self._asked).encode() + b"\n")
        self._file.flush()

    def _compare(self, first: bytes) -> None:
        """Refuse to go on with predictions that were asked for in another way."""
        try:
            before = json.loads(first)
            different = [name for name in self._asked if before[name] != self._asked[name]]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path} is no record of predictions: move it away, or --force begins anew"
            ) from None
        if different:
            name = different[0]
            raise UsageError(
                f"{self.path} was begun with another {name} ({before[name]}, now "
                f"{self._asked[name]}): --force begins anew"
            )

    def skip(self, names: Iterable[Path]) -> Iterator[Path]:
        """The names that it has no prediction of yet; those that it has come first.

        Raises:
            UsageError: it has predictions of other photographs.
        """
        ahead = iter(names)
        end = self._file.tell()
        for record in self._records():
            name = next(ahead, None)
            if name is None or record.get("path") != str(name):
                raise UsageError(
                    f"{self.path}: number {self.kept + 1:,} is {quoted(record.get('path'))}, and "
                    f"of the photographs given it is {'none' if name is None else quoted(name)}: "
                    "--force begins anew"
                )
            self.kept += 1
            self.unreadable += "reason" in record
            end = self._file.tell()
        self._file.seek(end)
        self._file.truncate()
        yield from ahead

    def add(self, documents: Sequence[Document]) -> None:
        """Keep predictions.

        Raises:
            TortieError: the disk is full.
        """
        lines = [json_text(one).encode() + b"\n" for one in documents]
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
        except OSError as error:
            raise TortieError(
                f"cannot write {self.path}: {error.strerror}; {self.kept:,} predictions are kept: "
                "--resume goes on"
            ) from None
        self.kept += len(documents)
        self.unreadable += sum("reason" in one for one in documents)

    def finish(self, format: str, classes: Sequence[str]) -> None:
        """Write the file, and take the journal away.

        Args:
            format: of the file.
            classes: names of the classes, in order.

        Raises:
            TortieError: the disk is full.
        """
        self._file.seek(0)
        self._file.readline()
        with replacing(self.target) as file:
            write_predictions(file, format, classes, self._records())
        self._file.close()
        os.unlink(self.path)

    def close(self) -> None:
        """Close the journal, which stays if it holds anything; twice is harmless."""
        if not self._file.closed and self._fresh and not self.kept:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._file.close()

    def _records(self) -> Iterator[Document]:
        """The whole lines from here on."""
        while line := self._file.readline():
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                return
            if not isinstance(record, dict):
                return
            yield record
