"""Writing files: old or new after a kill, together or not at all, and never through a link.

The bytes go to a ``.NAME.….part`` beside the target, are flushed to the disk and put in its place.
A part is locked by the process that writes it: what has no lock was left by a kill, and is taken
away by the next process that writes the same file.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from tortie.errors import TortieError, TortieWarning, UsageError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be taken away
    fcntl = None  # type: ignore[assignment]

_MARK = b"placed %d bytes of %d"  # nanoseconds
_LONGEST = 200  # bytes of the target's name in a part's; file systems take 255 for the whole
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# What a file system says that knows no such call, as network drives and shared folders do.
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/+")  # as a path has it, a slash lost
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class _Part:
    """A file that is being written for another's place, locked while this process has it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.placed = False
        self.mark: _Part | None = None
        for _ in range(100):
            self.path = target.parent / f"{_prefix(target)}{os.urandom(4).hex()}.part"
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
            except FileExistsError:
                continue
            self.file: BinaryIO = os.fdopen(handle, "w+b")
            if try_lock(handle) is not False and os.fstat(handle).st_nlink:
                return
            self.file.close()  # another process swept it before it was locked
        raise FileExistsError(None, "no free name for a temporary file", str(target))

    def flush(self) -> None:
        """Bring the bytes to the disk, where the file system can say that they are there."""
        self.file.flush()
        try:
            os.fsync(self.file.fileno())
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            _warn(self.target.parent, error)

    def place(self, may_replace: bool) -> None:
        """Give the bytes the target's name; its old holder stays where it may not be replaced."""
        if os.name == "nt":
            self.file.close()
        if may_replace:
            os.replace(self.path, self.target)
        else:
            self._create()
        self.placed = True

    def _create(self) -> None:
        if is_leftover(self.target):
            os.unlink(self.target)
        try:
            os.link(self.path, self.target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            self._mark()
            os.close(os.open(self.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            try:
                os.replace(self.path, self.target)
            except BaseException:
                os.unlink(self.target)
                raise

    def _mark(self) -> None:
        """Leave beside the target what tells, after a kill, that this process created it."""
        self.mark = _Part(self.target)
        found = os.stat(self.path)
        self.mark.file.write(_MARK % (found.st_size, found.st_mtime_ns))
        self.mark.flush()

    def withdraw(self) -> None:
        """Take back what :meth:`place` created."""
        with contextlib.suppress(OSError):
            os.unlink(self.target)

    def close(self) -> None:
        """Take the part away."""
        if os.name == "nt":
            self.file.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            self.file.close()
        if self.mark is not None:
            self.mark.close()


_warned_drives: set[int] = set()  # one note a drive is enough
_TOGETHER: ContextVar[list[_Part] | None] = ContextVar("together", default=None)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an error.

    Inside :func:`together` it does so when that block ends. A link at ``path`` is replaced, and
    not followed.

    Raises:
        TortieError: the disk is full, or the folder cannot be written.
    """
    parts = _TOGETHER.get()
    if parts is None:
        with together(), replacing(path) as file:
            yield file
        return
    with _telling(path):
        part = _Part(path)
        parts.append(part)
        yield part.file
        part.flush()


@contextlib.contextmanager
def together(may_replace: bool = True) -> Iterator[None]:
    """Files that :func:`replacing` writes in the block appear when it ends, the first one last.

    Where it fails none appears. A kill while they are put in place leaves a state that
    :func:`check_output` knows: the same command may write them again.

    Args:
        may_replace: whether files that are there give way; otherwise they are created, even where
            another process creates the same ones at the same moment.

    Raises:
        TortieError: a file that may not be replaced is there by now; or as :func:`replacing`.
    """
    parts: list[_Part] = []
    token = _TOGETHER.set(parts)
    try:
        yield
        _place(parts, may_replace)
        for part in parts:
            _sweep(part.target)
        for folder in {part.target.parent for part in parts}:
            _flush_folder(folder)
    finally:
        _TOGETHER.reset(token)
        for part in parts:
            part.close()


def _place(parts: list[_Part], may_replace: bool) -> None:
    try:
        for part in reversed(parts):
            with _telling(part.target):
                part.place(may_replace)
    except BaseException:
        for part in parts:
            if not may_replace and (part.placed or _is_same(part.target, part.path)):
                part.withdraw()
        raise


def check_local(path: Path) -> None:
    """Refuse to write to an address, where its first part is no folder here.

    Raises:
        UsageError: with the way out.
    """
    address = _ADDRESS.match(str(path))
    if address and not os.path.isdir(address[1]):
        rest = str(path)[address.end() :]
        raise UsageError(
            f"{address[1]}//{rest}: what tortie writes goes to this disk: name a file or folder "
            "here, and copy it there when it is whole"
        )


def check_output(
    path: Path,
    may_replace: bool = True,
    inputs: Iterable[Path] = (),
    replaces: str = "--force",
) -> None:
    """Refuse, before any work is done, an output that could not or may not be written.

    Args:
        path: of the output.
        may_replace: whether a file that is there gives way.
        inputs: what the command reads: no output takes its place.
        replaces: what to say for a file that is there to give way.

    Raises:
        UsageError: with the way out.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    if not path.parent.is_dir():
        check_local(path)
        raise UsageError(f"no folder {path.parent} to write {path.name} into: make it first")
    if found is not None:
        if stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{path} is a folder: choose another name for the file")
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            raise UsageError(f"{path} is a device or a pipe: choose another name for the file")
        for one in inputs:
            if _is_same(path, one):
                raise UsageError(f"{path} is an input of this command: choose another output")
        if not may_replace and not is_leftover(path):
            raise UsageError(f"{path} exists: {replaces} replaces it, or choose another name")
    try:
        _Part(path).close()
    except OSError as error:
        raise UsageError(
            f"{path.parent} cannot be written ({error.strerror}): choose another folder for the "
            "output"
        ) from None


def open_lock(path: Path) -> BinaryIO:
    """A file to be locked: made if it is not there, never emptied, and no link.

    Raises:
        OSError: it cannot be made, or is a link or no regular file.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _CAREFULLY | _BINARY, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(None, "is no regular file", str(path))
    return os.fdopen(handle, "r+b")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def open_regular(path: Path) -> BinaryIO:
    """A file to read; a pipe or a device is refused, not awaited.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it cannot be opened, or is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "Is a directory", str(path))
    raise OSError(None, "is a pipe or a device, no file", str(path))


def try_lock(handle: int) -> bool | None:
    """Lock an open file; ``False`` where another process has it, ``None`` where none can lock."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network drive without locks
        return None
    return True


def is_leftover(path: Path) -> bool:
    """Whether ``path`` was put in place by a process that was killed before all were.

    What is created is linked to its part until all that belongs together is there. Where there are
    no links, it is as long and as old as a part's mark says, or empty for a moment.
    """
    return any(_is_same(path, part) or _marks(part, path) for part in _dead_parts(path))


def _marks(part: Path, target: Path) -> bool:
    """Whether the part is the mark of this very target."""
    try:
        with open_regular(part) as file:
            mark = file.read(100)
        found = os.lstat(target)
    except OSError:
        return False
    if not found.st_size:
        return mark.startswith(_MARK[:7])
    return mark == _MARK % (found.st_size, found.st_mtime_ns)


def _dead_parts(target: Path) -> list[Path]:
    """Parts of a target whose processes have ended."""
    prefix = _prefix(target)
    try:
        names = [name for name in os.listdir(target.parent) if name.startswith(prefix)]
    except OSError:  # a folder that may be written and not listed
        return []
    paths = [target.parent / name for name in names if name.endswith(".part")]
    return [path for path in paths if _is_dead(path)]


def _is_dead(part: Path) -> bool:
    try:
        handle = os.open(part, os.O_RDWR | _CAREFULLY | _BINARY)
    except OSError:
        return False
    try:
        return fcntl is None or try_lock(handle) is True
    finally:
        os.close(handle)


def _sweep(target: Path) -> None:
    for part in _dead_parts(target):
        with contextlib.suppress(OSError):
            os.unlink(part)


def _prefix(target: Path) -> str:
    return f".{os.fsdecode(os.fsencode(target.name)[:_LONGEST])}."


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.stat(other))
    except OSError:
        return False


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into errors that name the file."""
    try:
        yield
    except FileExistsError:
        raise TortieError(
            f"{path} was written meanwhile, and is not replaced: choose another name, or --force"
        ) from None
    except OSError as error:
        raise TortieError(f"cannot write {path}: {error.strerror or error}") from error


def _flush_folder(folder: Path) -> None:
    """Bring the new names to the disk; the files are whole and in place, whatever comes of it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        _warn(folder, error)


def _warn(folder: Path, error: OSError) -> None:
    drive = os.stat(folder).st_dev
    if drive in _warned_drives:
        return
    _warned_drives.add(drive)
    warnings.warn(
        f"{folder} cannot promise that a file outlasts a power cut ({error.strerror}); it is "
        "written",
        TortieWarning,
        stacklevel=2,
    )
