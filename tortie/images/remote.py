"""Files that are not on this disk: ``s3://bucket/photos``, ``memory://…``, all that fsspec opens.

A file's address is a path like any other; a plain :class:`~pathlib.Path` of one has lost a slash.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tortie.errors import TortieError, UsageError

_ADDRESS = re.compile(r"(?!file:)([a-z][a-z0-9+.-]+):/+(?=[^/])")
_DRIVERS = {
    "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "http": "aiohttp", "https": "aiohttp",
}  # fmt: skip


class RemotePath(type(Path())):  # type: ignore[misc]
    """The address of a file that fsspec opens, with a path's parts; a text with both slashes."""

    def __str__(self) -> str:
        return _ADDRESS.sub(r"\1://", super().__str__(), count=1)

    def __fspath__(self) -> str:
        return str(self)


def located(path: Path) -> Path:
    """A path, as an address where it is one."""
    remote = not isinstance(path, RemotePath) and _ADDRESS.match(str(path))
    return RemotePath(str(path)) if remote else path


def is_remote(path: Path) -> bool:
    """Whether a path is the address of something that is not on this disk."""
    return isinstance(path, RemotePath) or bool(_ADDRESS.match(str(path)))


def is_remote_file(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        UsageError: a kind of address whose driver is not there.
        TortieError: it cannot be asked for.
    """
    with _opened(path) as (system, name):
        return bool(system.isfile(name))


def remote_files(folder: Path) -> list[Path]:
    """The files below an address, sorted.

    Raises:
        UsageError, TortieError: as :func:`is_remote_file`.
    """
    with _opened(folder) as (system, name):
        found = [str(one) for one in system.find(name)]
        root = str(system._strip_protocol(name)).rstrip("/")
    inside = [one[len(root) :].strip("/") for one in found if one.startswith(root)]
    return sorted((RemotePath(str(folder)) / one for one in inside if one), key=str)


def remote_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
        UsageError, TortieError: as :func:`is_remote_file`; or it is longer.
    """
    with _opened(path) as (system, name):
        size = system.info(name).get("size")
        if size is None:  # a server that does not say it
            with system.open(name, "rb") as file:
                content = bytes(file.read(most + 1))
            size = len(content)
        elif size <= most:
            content = bytes(system.cat_file(name))
        if size > most:
            raise TortieError(f"{size / 2**20:,.0f} MiB is over the limit of {most / 2**20:.0f}")
        return content


def open_remote(path: Path) -> tuple[IO[bytes], tuple[int, int]]:
    """A file that can be read at any place, and what tells that it has changed.

    Raises:
        UsageError, TortieError: as :func:`is_remote_file`.
    """
    with _opened(path) as (system, name):
        found = system.info(name)
        return system.open(name, "rb"), (found.get("size") or 0, hash(_version(found)))


def remote_stamp(path: Path) -> str:
    """What tells that a file has changed: its size and its version.

    Raises:
        UsageError, TortieError: as :func:`is_remote_file`.
    """
    with _opened(path) as (system, name):
        found = system.info(name)
        return f"{found.get('size')} {_version(found)}"


def _version(found: dict[str, Any]) -> str:
    return str(found.get("ETag") or found.get("mtime") or found.get("created"))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the file's name there; its errors in one line."""
    import fsspec

    address = str(located(path))
    scheme = address.partition(":")[0]
    try:
        system, name = fsspec.core.url_to_fs(address)
    except ImportError:
        driver = _DRIVERS.get(scheme, f"the fsspec driver of {scheme}")
        raise UsageError(f"{address} needs {driver}: pip install {driver}") from None
    except ValueError:
        raise UsageError(
            f"{address}: no kind of address that fsspec knows, such as s3://"
        ) from None
    try:
        yield system, name
    except TortieError:
        raise
    except FileNotFoundError:
        raise TortieError(f"{address}: no such file") from None
    except Exception as error:  # of the driver's own libraries
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TortieError(f"{address} cannot be read: {said}") from None
