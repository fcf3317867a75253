"""Resizing and cropping in a graph, against :class:`Preprocessing` and Pillow."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tortie.evaluation.crops import crop_views
from tortie.export.awkward import awkward_images
from tortie.export.program import Program
from tortie.export.resampling import crops_of
from tortie.graphs.graph import IR_VERSION, OPSET
from tortie.images import decode
from tortie.images.preprocess import Preprocessing

LITE0 = Preprocessing(resize=256, height=224, width=224, mean=(127.0,) * 3, std=(128.0,) * 3)
CIFAR = Preprocessing(
    resize=32, height=32, width=32, interpolation="bilinear", mean=(0.0,) * 3, std=(255.0,) * 3
)
GREY = Preprocessing(resize=40, height=28, width=36, channels=1, mean=(0.0,), std=(255.0,))


def session_of(preprocessing, views):
    program = Program()
    crops = crops_of(program, "image", preprocessing, views)
    program.add("Identity", crops, output="pixels")
    given = helper.make_tensor_value_info("image", TensorProto.UINT8, ["h", "w", 3])
    wanted = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [None] * 4)
    graph = helper.make_graph(program.nodes, "g", [given], [wanted], program.initialisers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )


@pytest.mark.parametrize(
    ("preprocessing", "crops"),
    [(LITE0, 1), (CIFAR, 1), (GREY, 1), (LITE0, 10), (CIFAR, 10)],
    ids=["lite0", "cifar", "grey", "lite0, ten", "cifar, ten"],
)
def test_the_pixels_are_those_of_the_preprocessing(preprocessing, crops):
    views = crop_views(preprocessing, crops)
    session = session_of(preprocessing, views)
    for image in awkward_images():
        if crops > 1 and max(image.size) > 2000:
            continue
        found = session.run(None, {"image": np.asarray(image)})[0]
        decoded = decode(image)
        expected = np.stack([view.pixels(decoded, "") for view in views])
        # Of tall strips rows are cut out first, which moves Pillow's box, float32, a little.
        strip = image.height > 2 * image.width
        assert np.abs(found.astype(int) - expected).max() <= strip, image.size


def test_a_crop_is_what_pillow_resizes_and_cuts_out():
    generator = np.random.default_rng(1)
    image = Image.fromarray(generator.integers(0, 256, (300, 400, 3), np.uint8))
    # 300×400 to 256×341, whose centre begins at (round(58.5), 16) = (58, 16).
    expected = image.resize((341, 300), Image.Resampling.BICUBIC)
    expected = expected.resize((341, 256), Image.Resampling.BICUBIC).crop((58, 16, 282, 240))
    found = session_of(LITE0, crop_views(LITE0, 1)).run(None, {"image": np.asarray(image)})[0][0]
    # One resampling of a box, whose corners Pillow keeps in float32, for a resize and a crop.
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1
