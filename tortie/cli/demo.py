"""``tortie demo``: two small fits on pictures that installed packages carry."""

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tortie.cli import options, show
from tortie.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "demo"

_TEXTURES = ("brick", "grass", "gravel")
_PATCH = 128  # pixels of a patch's side


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder for the results.", show_default="a new folder")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train two small classifiers on images that installed packages contain.

    The first tells photographs of brick, grass and gravel apart. Its training
    and test patches are other columns of the same photographs (from
    scikit-image), so its accuracy says nothing about quality. The second is
    LeNet-5, trained from random weights on scikit-learn's 1,797 handwritten
    digits.

    Example: tortie demo
    """
    show.begin(False, quiet)
    _check_packages()
    folder = folder or Path(tempfile.mkdtemp(prefix="tortie-demo-"))
    photographs, cat = lay_out(folder)
    show.say(
        f"{folder}: patches of one photograph each of {', '.join(_TEXTURES)}; of four columns of"
    )
    show.say("each, two are trained on and two tested. This shows the machinery, not its quality.")
    model = folder / "textures.safetensors"
    tests = sorted(photographs.glob("test/*/0.png"))
    _run("fit", photographs, "-o", model, "--force")
    _run("predict", model, *tests)
    _run("predict", "efficientnet-lite0", cat)
    show.say("")
    show.say(f"{folder}/digits: 1,797 handwritten digits; LeNet-5 is trained from random weights.")
    show.say("Each epoch is validated on digits that are not trained on; the best epoch is kept.")
    digits, written = lay_out_digits(folder), folder / "digits.safetensors"
    scratch = ("--network", "lenet5", "--weights", "none", "--freeze", "none")
    _run("fit", digits, "-o", written, *scratch, "--force")
    _run("predict", written, *(min(one.iterdir()) for one in sorted(digits.iterdir())))
    reports = (model.with_suffix(".report.html"), written.with_suffix(".report.html"))
    show.say("")
    show.say(f"open {reports[0]} and {reports[1]} in a browser")


def _run(*arguments: str | Path) -> None:
    """Run a command as a user would, and show it."""
    from tortie.cli.main import application

    words = [str(word) for word in arguments]
    show.say("")
    show.say(f"$ tortie {shlex.join(words)}")
    application()(words, standalone_mode=False)


def _check_packages() -> None:
    """Whether the pictures are there, before anything is written.

    Raises:
        UsageError: scikit-image or scikit-learn is not installed.
    """
    try:
        import skimage.data  # noqa: F401
        import sklearn.datasets  # noqa: F401
    except ImportError as error:
        raise UsageError(f"the demo needs {error.name}: pip install 'tortie[demo]'") from None


def lay_out_digits(folder: Path) -> Path:
    """Write scikit-learn's 8×8 digits as ``digits/CLASS/NUMBER.png``; the folder."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        target = folder / "digits" / str(label)
        target.mkdir(parents=True, exist_ok=True)
        grey = (image * (255 / 16)).round().astype(np.uint8)  # 17 levels, white on black
        Image.fromarray(grey).save(target / f"{number:04}.png")
    return folder / "digits"


def lay_out(folder: Path) -> tuple[Path, Path]:
    """Write the patches as ``photographs/{train,test}/TEXTURE/*.png``, and the cat.

    Returns:
        the folder of photographs, and the cat's file.
    """
    from PIL import Image
    from skimage import data

    photographs = folder / "photographs"
    for texture in _TEXTURES:
        whole = getattr(data, texture)()  # 512×512
        for split in ("train", "test"):
            (photographs / split / texture).mkdir(parents=True, exist_ok=True)
            for number, patch in enumerate(_patches(whole, split == "train")):
                Image.fromarray(patch).save(photographs / split / texture / f"{number}.png")
    Image.fromarray(data.chelsea()).save(folder / "chelsea.png")
    return photographs, folder / "chelsea.png"


def _patches(whole: "NDArray[np.uint8]", train: bool) -> "Iterator[NDArray[np.uint8]]":
    """Patches of every other column of patches: the light differs from side to side.

    Those to train on overlap by half. Those of the test do not, as copies count once.
    """
    for left in range(0 if train else _PATCH, whole.shape[1] - _PATCH + 1, 2 * _PATCH):
        for top in range(0, whole.shape[0] - _PATCH + 1, _PATCH // 2 if train else _PATCH):
            yield whole[top : top + _PATCH, left : left + _PATCH]
