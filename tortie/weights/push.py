"""Files into a hub's repository, in one commit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tortie import __version__
from tortie.errors import TortieError, UsageError
from tortie.weights.fetch import HubFile, cause_of

CARD = "README.md"
MARK = "<!-- written by tortie push -->"
"""What tells a card of tortie's from one that somebody wrote."""


def push(
    target: HubFile, files: Mapping[str, Path | bytes], private: bool | None, message: str
) -> str:
    """Put files into a repository, which is made where there is none; one commit, all or nothing.

    Args:
        target: the repository and its branch.
        files: what to write, by the path in the repository.
        private: whether a new repository is private; ``None`` for the account's default.
        message: of the commit.

    Returns:
        the commit's address.

    Raises:
        UsageError: no leave to write there, or no such branch.
        TortieError: the hub does not answer.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants

    api = HfApi(constants.ENDPOINT, library_name="tortie", library_version=__version__)
    repository, revision, _ = target
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        done = api.create_commit(repository, operations, commit_message=message, revision=revision)
    except Exception as error:  # of the library, of its HTTP client, of its uploader
        raise _refusal(target, error) from None
    return str(done.commit_url)


def keeps_card(target: HubFile) -> bool:
    """Whether the repository has a card that tortie did not write, which is left alone.

    Raises:
        UsageError: no leave to look there, or no such branch.
        TortieError: the hub does not answer.
    """
    from huggingface_hub import errors, hf_hub_download

    try:
        path = hf_hub_download(target.repository, CARD, revision=target.revision)
    except errors.LocalEntryNotFoundError as error:  # no answer, which is an EntryNotFoundError too
        raise _refusal(target, error) from None
    except (errors.EntryNotFoundError, errors.RepositoryNotFoundError):
        return False
    except Exception as error:
        raise _refusal(target, error) from None
    return MARK.encode() not in Path(path).read_bytes()


def _refusal(target: HubFile, error: Exception) -> TortieError:
    """What to tell the user of an error of huggingface_hub."""
    from huggingface_hub import constants, errors

    where = f"hf://{target.repository}"
    status: Any = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.LocalTokenNotFoundError) or status in (401, 403):
        return UsageError(
            f"{where}: no leave to write there: `hf auth login` with a token that may write"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        branch = target.revision or "main"
        return UsageError(f"{where}: no branch {branch} there: make it on the hub first")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(f"{where}: no such owner, or no leave to write there")
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{where}: {cause_of(error)}")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return TortieError(f"cannot push to {where}: {constants.ENDPOINT} does not answer")
    if status is not None:
        return TortieError(f"cannot push to {where}: {constants.ENDPOINT} answers HTTP {status}")
    within = error.__cause__  # of an upload that failed
    why = cause_of(within if isinstance(within, Exception) else error)
    return TortieError(f"cannot push to {where}: {why}")
