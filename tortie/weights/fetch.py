"""Fetching published weights: from an address, or from a hub's repository. What comes is checked.

Addresses go through torch.hub into its own folder, so that what torchvision fetched is found; hub
repositories through huggingface_hub into its cache. ``HF_HUB_OFFLINE=1`` keeps both offline.
"""

import contextlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tortie.errors import TortieError, UsageError
from tortie.files import sha256_of

_BY_HAND = "fetch it by hand and take --weights FILE"


def fetch_address(address: str) -> Path:
    """The file at an address whose name ends in the beginning of its SHA-256.

    Args:
        address: such as ``https://host/resnet50-0676ba61.pth``.

    Returns:
        its place in torch.hub's folder, fetched unless it is there already, intact.

    Raises:
        UsageError: the address says no SHA-256.
        TortieError: it cannot be fetched, or is not the file that the address names; nothing that
            came is kept.
    """
    name = urlsplit(address).path.rpartition("/")[2]
    prefix = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    if prefix is None:
        raise UsageError(
            f"{address} says no SHA-256 (…-0123abcd.pth), so what comes could not be checked: "
            f"{_BY_HAND}"
        )
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file() and sha256_of(path).startswith(prefix[1]):
        return path
    if _offline():
        state = "damaged" if path.is_file() else "not there"
        raise TortieError(
            f"offline (HF_HUB_OFFLINE), and {path} is {state}: go online, or fetch {address} "
            "elsewhere and take --weights FILE"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(path), prefix[1], sys.stderr.isatty())
    except RuntimeError:  # torch.hub's word for a SHA-256 that differs; it keeps nothing
        raise TortieError(
            f"what came from {address} is not the published file (its SHA-256 differs: cut off on "
            f"the way, or a web page in between) and was not kept: try again, or {_BY_HAND}"
        ) from None
    except (OSError, HTTPException) as error:
        raise TortieError(f"cannot fetch {address}: {cause_of(error)}; {_BY_HAND}") from None
    return path


class HubFile(NamedTuple):
    """A file of a hub's repository.

    Attributes:
        repository: ``owner/name``.
        revision: a branch, a tag or a commit; ``None`` for the newest.
        file: path in the repository.
    """

    repository: str
    revision: str | None
    file: str

    @classmethod
    def parse(cls, address: str) -> "HubFile":
        """What ``hf://owner/name[@revision][/file]`` names; the file is ``model.safetensors``.

        Raises:
            UsageError: it is not of that form.
        """
        found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/(.+))?", address)
        if found is None:
            raise UsageError(f"{address} is not of the form hf://OWNER/NAME[@REVISION][/FILE]")
        return cls(found[1], found[2], found[3] or "model.safetensors")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repository}{revision}/{self.file}"


def fetch_from_hub(wanted: HubFile) -> Path:
    """The file's place in huggingface_hub's cache, fetched unless it is there already.

    Raises:
        UsageError: no such repository or file, or no leave to read it.
        TortieError: it cannot be fetched, or is not the file that the hub names; nothing that came
            is kept.
    """
    try:
        path = _cached(wanted)
    except Exception as error:  # the library's HTTP client has changed twice, its errors with it
        raise refusal(wanted, error) from None
    blob = path.resolve()  # the cache calls a large file by its SHA-256
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and sha256_of(blob) != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise TortieError(
            f"what came from {wanted} is damaged (its SHA-256 differs) and was not kept: "
            f"try again, or {_BY_HAND}"
        )
    return path


def fetch_configuration(beside: HubFile) -> dict[str, Any]:
    """What a repository's ``config.json`` says beside a file of weights; empty where it has none.

    Raises:
        UsageError: no such repository, or no leave to read it.
        TortieError: it cannot be fetched, or is no JSON.
    """
    from huggingface_hub.errors import EntryNotFoundError

    folder = beside.file.rpartition("/")[0]
    wanted = beside._replace(file=f"{folder}/config.json".lstrip("/"))
    try:
        path = _cached(wanted)
    except EntryNotFoundError:  # or no answer, of which the weights themselves will speak
        return {}
    except Exception as error:  # as above
        raise refusal(wanted, error) from None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise TortieError(f"{wanted} is no JSON; {_BY_HAND}") from None
    return content if isinstance(content, dict) else {}


def _cached(wanted: HubFile) -> Path:
    from huggingface_hub import hf_hub_download

    repository, revision, file = wanted
    with quiet_hub():
        return Path(hf_hub_download(repository, file, revision=revision, library_name="tortie"))


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Without huggingface_hub's lines on each new attempt: one error tells of all."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def refusal(wanted: HubFile, error: Exception) -> TortieError:
    """What to tell the user of an error of huggingface_hub."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return UsageError(
            f"{wanted}: its owner asks for an agreement: agree on the hub, then `hf auth login`"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(f"{wanted}: no such repository (a private one needs `hf auth login`)")
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{wanted}: no revision {wanted.revision or 'main'} there")
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause, why = error.__cause__, f"{constants.ENDPOINT} does not answer"
        if _offline():
            why = "offline (HF_HUB_OFFLINE)"
        elif isinstance(cause, errors.HfHubHTTPError):
            why = f"{constants.ENDPOINT} answers HTTP {cause.response.status_code}"
        elif isinstance(cause, errors.FileMetadataError):
            why = f"{constants.ENDPOINT} does not answer as a hub does (a web page in between?)"
        elif isinstance(cause, Exception):
            why = f"{constants.ENDPOINT} does not answer ({cause_of(cause)})"
        return TortieError(f"cannot fetch {wanted}: {why}, and no copy is cached; {_BY_HAND}")
    if isinstance(error, errors.EntryNotFoundError):
        return UsageError(
            f"{wanted}: no such file in that repository; name one: hf://{wanted.repository}/FILE"
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{wanted}: {cause_of(error)}")
    return TortieError(f"cannot fetch {wanted}: {cause_of(error)}; {_BY_HAND}")


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cause_of(error: Exception) -> str:
    """One line of what an error says."""
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        return cause_of(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
