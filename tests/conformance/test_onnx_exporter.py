"""Graphs that tortie writes against those of torch's own exporter, both run by ONNX Runtime.

Run by `make conformance`, in an environment that has onnxscript.
"""

import io

import numpy as np
import onnxruntime
import pytest
import torch

from tests.conformance.test_published_networks import perturb
from tests.graphs.test_write import run
from tortie.graphs.write import write_graph
from tortie.networks.table import find

pytest.importorskip("onnxscript")

# A plain convolution, a grouped one with local response normalisation, pooling that runs off the
# edge, additions, channels of zeros, and TensorFlow's "same" padding.
NAMES = ("vgg11-bn", "alexnet", "googlenet", "resnet50", "resnet20-cifar", "efficientnet-lite0")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_it_computes_what_the_graph_of_torchs_exporter_does(name):
    torch.manual_seed(0)
    entry = find(name)
    network = entry.build().eval()
    perturb(network)
    preprocessing = entry.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (2, *preprocessing.shape), np.uint8)
    images = (pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    content = io.BytesIO()
    torch.onnx.export(
        network.stages, (torch.from_numpy(images),), content, dynamo=True, input_names=["given"],
        external_data=False,
    )  # fmt: skip
    theirs = onnxruntime.InferenceSession(content.getvalue(), providers=["CPUExecutionProvider"])
    (wanted,) = theirs.run(None, {"given": images})
    got = run(
        write_graph("stages", network.stages, preprocessing), network.stages, pixels, "stages"
    )
    assert np.linalg.norm(got.numpy() - wanted) / np.linalg.norm(wanted) < 1e-5
