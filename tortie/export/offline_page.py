"""One page that classifies photographs in a browser, without a server and without internet."""

import base64
import gzip
import json
from pathlib import PurePath
from typing import TYPE_CHECKING

from tortie import __version__
from tortie.browser.parts import render, text
from tortie.export.runtime import VERSION, Runtime

if TYPE_CHECKING:
    import onnx

_SCRIPTS = (
    ("browser", "camera.js"), ("browser", "answers.js"), ("browser", "photographs.js"),
    ("export", "offline_page.js"),
)  # fmt: skip


def offline_page(model: "onnx.ModelProto", runtime: Runtime) -> bytes:
    """The page: model and runtime inside, compressed and in base64.

    Args:
        model: exported; takes one image of any size.
        runtime: onnxruntime-web.
    """
    from markupsafe import Markup

    metadata = {one.key: json.loads(one.value) for one in model.metadata_props}
    provenance = metadata["provenance"]
    digest = provenance.get("sha256")
    written = json.dumps(metadata, ensure_ascii=False).replace("<", "\\u003c")
    packed = gzip.compress(model.SerializeToString(deterministic=True), 9, mtime=0)
    return render(
        "export",
        "offline_page.html.j2",
        title=PurePath(provenance["classifier"]).stem,
        version=__version__,
        provenance=provenance["classifier"] + (f" (SHA-256 {digest[:16]}…)" if digest else ""),
        metadata=Markup(written),
        model=_base64(packed),
        runtime={name: _base64(one) for name, one in runtime._asdict().items()},
        runtime_version=VERSION,
        licence=Markup(text("export", "runtime-licence.txt")),
        style=Markup(text("browser", "page.css")),
        scripts=[Markup(text(*one)) for one in _SCRIPTS],
    ).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
