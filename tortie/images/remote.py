"""Files that are not on this disk: ``s3://bucket/photos``, ``memory://…``, all that fsspec opens.

A file's address is a path like any other; a plain :class:`~pathlib.Path` of one has lost a slash.
"""

import contextlib
import io
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from tortie.errors import TortieError, UsageError
from tortie.images.read_ahead import ReadAhead

_ADDRESS = re.compile(r"(?!file:)([a-z][a-z0-9+.-]+):/+(?=[^/])")


class _Driver(NamedTuple):
    """What opens a kind of address: its package, how it is installed, how it is let in."""

    package: str
    install: str
    credentials: str = ""


_S3 = _Driver(
    "s3fs", "tortie[s3]",
    "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; for a public bucket "
    "FSSPEC_S3='{\"anon\": true}'",
)  # fmt: skip
_GS = _Driver(
    "gcsfs", "tortie[gs]",
    "give GOOGLE_APPLICATION_CREDENTIALS; for a public bucket FSSPEC_GS='{\"token\": \"anon\"}'",
)  # fmt: skip
_AZ = _Driver(
    "adlfs", "tortie[az]",
    "give AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or "
    "AZURE_STORAGE_CONNECTION_STRING",
)  # fmt: skip
_HTTP = _Driver("aiohttp", "tortie[http]")
_DRIVERS = {
    "s3": _S3, "s3a": _S3, "gs": _GS, "gcs": _GS, "az": _AZ, "abfs": _AZ, "abfss": _AZ,
    "http": _HTTP, "https": _HTTP,
}  # fmt: skip
_BLOCK = 2**22  # bytes fetched at a time of an opened file, at most; s3fs would keep 50 MB of each
_LARGEST_COPY = 2**32  # bytes of a file that is copied to this disk while it is read
_CREDENTIALS = re.compile("credential|account_name", re.IGNORECASE)  # in a driver's own words


class RemoteError(TortieError):
    """A server that fails, or lets nobody in: no fault of the file that was asked for.

    Attributes:
        reason: why, without the address.
    """

    def __init__(self, address: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{address} cannot be read: {reason}")


class MissingFile(TortieError):
    """A file elsewhere that cannot be had: it is not there, or its own web server is gone.

    Attributes:
        reason: why, without the address.
    """

    def __init__(self, address: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{address}: {reason}")


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


def is_web(path: Path) -> bool:
    """Whether an address is a web page's: its server has no folders, and ``?`` is no pattern."""
    return is_remote(path) and _scheme(path).startswith("http")


def is_remote_file(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        UsageError: a kind of address whose driver is not there.
        RemoteError: its server cannot be asked, which ``isfile`` of fsspec takes for no file.
    """
    try:
        with _opened(path) as (system, name):
            return bool(system.info(name)["type"] == "file")
    except MissingFile:
        return False


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        UsageError, RemoteError: as :func:`is_remote_file`.
    """
    with _opened(path) as (system, name):
        return bool(system.exists(name))


def remote_files(folder: Path) -> list[Path]:
    """The files below an address, sorted.

    Raises:
        UsageError, RemoteError: as :func:`is_remote_file`.
        TortieError: no such bucket.
    """
    with _opened(folder) as (system, name):
        found = [str(one) for one in system.find(name)]
        root = str(system._strip_protocol(name)).rstrip("/")
    inside = [one[len(root) :].strip("/") for one in found if one.startswith(root)]
    return sorted((RemotePath(str(folder)) / one for one in inside if one), key=str)


def remote_matches(pattern: str) -> list[Path]:
    """The files and folders that an address with ``*``, ``?`` or ``[`` stands for, sorted.

    Raises:
        UsageError, RemoteError, TortieError: as :func:`remote_files`.
    """
    with _opened(RemotePath(pattern)) as (system, name):
        found = [system.unstrip_protocol(str(one)) for one in system.glob(name)]
    return sorted(map(RemotePath, found), key=str)


def remote_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
        UsageError, RemoteError: as :func:`is_remote_file`.
        TortieError: it is not there, or longer; of a web address, its server fails: a list of
            addresses has many servers, and some of them are gone.
    """
    try:
        with _opened(path) as (system, name):
            size = system.info(name).get("size")
            if size is None:  # a server that does not say it
                with system.open(name, "rb") as file:
                    content = bytes(file.read(most + 1))
                size = len(content)
            elif size <= most:
                content = bytes(system.cat_file(name))
    except RemoteError as error:
        address = str(located(path))
        raise MissingFile(address, error.reason) if is_web(path) else error from None
    if size > most:
        raise TortieError(f"{size / 2**20:,.0f} MiB is over the limit of {most / 2**20:.0f}")
    return content


def open_remote(path: Path) -> tuple[IO[bytes], tuple[int, int]]:
    """A file that can be read at any place, and what tells that it has changed.

    Of a web server that gives files as a whole alone it is a nameless copy on this disk.

    Raises:
        UsageError, RemoteError: as :func:`is_remote_file`; reading it raises them, too.
        TortieError: it is not there, or there is no room for the copy that it needs.
    """
    address = str(located(path))
    with _opened(path) as (system, name):
        found = system.info(name)
        size, key = found.get("size"), (found.get("size") or 0, hash(_version(found)))
        cache = {"cache_type": "none"} if size else {}  # else fsspec's own
        file = system.open(name, "rb", block_size=_BLOCK, **cache)
        if is_web(path) and not _has_ranges(file, size):
            file.close()
            whole = RemoteFile(address, system.open(name, "rb", block_size=0))
            return _copy_of_whole(whole, address, size), key
        ahead = ReadAhead(file, size, _BLOCK) if size else file
        return cast(IO[bytes], RemoteFile(address, ahead)), key


def _has_ranges(file: Any, size: int | None) -> bool:
    """Whether a server gives the end of a file alone."""
    try:
        file.seek(max(0, (size or 1) - 1))
        file.read(1)
        file.seek(0)
    except ValueError:  # fsspec's, of a server that answers with the whole
        return False
    return True


def _copy_of_whole(whole: "RemoteFile", address: str, size: int | None) -> IO[bytes]:
    way = "its server gives no parts of a file (HTTP ranges): download it, and give the file"
    if size and size > _LARGEST_COPY:
        raise TortieError(f"{address}: {way}; it is over 4 GB")
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        while content := whole.read(_BLOCK):
            copy.write(content)
            if copy.tell() > _LARGEST_COPY:
                raise TortieError(f"{address}: {way}; it is over 4 GB")
    except OSError as error:  # no room
        copy.close()
        reason = error.strerror or error
        raise TortieError(f"{address}: {way}; a copy of it cannot be kept here: {reason}") from None
    except BaseException:
        copy.close()
        raise
    finally:
        whole.close()
    copy.seek(0)
    return cast(IO[bytes], copy)


def copied(path: Path) -> tuple[IO[bytes], tuple[int, int]]:
    """A nameless copy of a file on this disk, fetched once, and what tells that it has changed.

    Where it is larger than 4 GB, or the disk has no room for it, it is opened where it is.

    Raises:
        UsageError, RemoteError, TortieError: as :func:`open_remote`.
    """
    file, key = open_remote(path)
    if key[0] > _LARGEST_COPY or not isinstance(file, RemoteFile):
        return file, key
    with contextlib.ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile())
            while content := file.read(_BLOCK):
                copy.write(content)
            copy.seek(0)
        except OSError:  # no room, or no such folder
            file.seek(0)
            return file, key
        stack.pop_all()
    file.close()
    return cast(IO[bytes], copy), key


def remote_stamp(path: Path) -> str:
    """What tells that a file has changed: its size and its version.

    Raises:
        UsageError, RemoteError, TortieError: as :func:`open_remote`.
    """
    with _opened(path) as (system, name):
        found = system.info(name)
        return f"{found.get('size')} {_version(found)}"


class RemoteFile(io.BufferedIOBase):
    """An opened file, whose errors are those of its address.

    Attributes:
        failure: the last of them, which a library that reads the file may have made little of.
    """

    failure: RemoteError | None = None

    def __init__(self, address: str, file: Any) -> None:
        self._address, self._file = address, file

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, all of them by default."""
        try:
            with _telling(self._address):
                return bytes(self._file.read(-1 if size is None else size))
        except RemoteError as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The place."""
        return int(self._file.tell())

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close it."""
        self._file.close()
        super().close()


def _version(found: dict[str, Any]) -> str:
    return str(found.get("ETag") or found.get("mtime") or found.get("created"))


def _scheme(address: object) -> str:
    return str(address).partition(":")[0]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the file's name there; its errors in one line."""
    import fsspec

    address = str(located(path))
    driver = _DRIVERS.get(_scheme(address))
    if driver:  # what it logs is said in one line; a handler of the user's is told all the same
        logging.getLogger(driver.package).addHandler(logging.NullHandler())
    try:
        fsspec.get_filesystem_class(_scheme(address))
    except ImportError:
        package, install = (
            driver[:2] if driver else (f"the fsspec driver of {_scheme(address)}",) * 2
        )
        raise UsageError(f"{address} needs {package}: pip install '{install}'") from None
    except ValueError:
        raise UsageError(
            f"{address}: no kind of address that fsspec knows, such as s3://"
        ) from None
    with _telling(address):
        yield fsspec.core.url_to_fs(address)


@contextlib.contextmanager
def _telling(address: str) -> Iterator[None]:
    """What a driver raises, in one line."""
    try:
        yield
    except TortieError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        said, cause = _said(error), error.__cause__
        if cause and is_web(Path(address)) and getattr(cause, "status", None) not in (404, 410):
            # what fsspec says of a server that is not there, too
            raise RemoteError(address, _said(cause)) from None
        more = "" if said.strip("/") in address else f" ({said})"
        raise MissingFile(address, f"no such file{more}") from None
    except Exception as error:  # of the driver's own libraries
        driver = _DRIVERS.get(_scheme(address))
        said = _said(error)
        hint = ""
        if driver and driver.credentials and _CREDENTIALS.search(f"{type(error).__name__} {said}"):
            hint = f": {driver.credentials}"
        raise RemoteError(address, f"{said}{hint}") from None


def _said(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
