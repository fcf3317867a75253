"""Whatever does not describe a classifier is refused in one line, however well it is sealed.

The oracle of a refusal is the error's class: anything else that comes out of :func:`tortie.load` is
a fault. A file that is accepted must answer as classifiers do: finite probabilities that add to 1.
"""

import copy
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import tortie
from tests.conftest import lay_out, photograph
from tests.weights.forge import forged, parts, sealed
from tortie.errors import TortieError
from tortie.evaluation.prediction_sets import PredictionSets

HEAD = "members.0.head.weight"
NETWORK = "resnet20-cifar"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of 1.1 MB with novelty, to be forged."""
    folder = tmp_path_factory.mktemp("forged")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = tortie.networks.build(NETWORK).state_dict()
    save_file(state, folder / "weights.safetensors")
    fitted = tortie.ImageClassifier(NETWORK, weights=str(folder / "weights.safetensors"))
    fitted.fit(lay_out(folder / "photographs", 14))
    fitted._sets = {"1": PredictionSets(np.linspace(0, 1, 28).astype("f4"), np.ones(28, "f4"))}
    fitted.save(folder / "a.safetensors")
    return folder / "a.safetensors"


def member(**changes):
    return {"metadata": lambda content: content["members"][0].update(changes)}


def within(name, **changes):
    return {"metadata": lambda content: content["members"][0][name].update(changes)}


def top(**changes):
    return {"metadata": lambda content: content.update(changes)}


def text(value):
    return {"header": lambda header: header["__metadata__"].update(tortie=value)}


def tensor(name=HEAD, **changes):
    return {"header": lambda header: header[name].update(changes)}


def moved(name, other):
    return {"header": lambda header: header.update({other: header.pop(name)})}


def numbers(name, value):
    """Every element of a float tensor becomes ``value``."""

    def change(header, body):
        begin, end = header[name]["data_offsets"]
        body[begin:end] = np.full((end - begin) // 4, value, np.float32).tobytes()

    return {"body": change}


VARIANCE = "members.0.stages.conv1.norm.running_var"
FORGED = {
    "metadata is a list": {"header": lambda header: header.update(__metadata__=["tortie"])},
    "metadata is an object": text({"a": 1}),
    "no JSON": text('{"version":1'),
    "JSON of a list": text("[1,2]"),
    "JSON of null": text("null"),
    "deep JSON": text("[" * 100_000 + "]" * 100_000),
    "a number of 5,000 digits": text('{"version":' + "9" * 5000 + "}"),
    "one name twice": text('{"version":1,"version":1}'),
    "version 2": top(version=2),
    "version true": top(version=True),
    "version 10**300": top(version=10**300),
    "no members": top(members=[]),
    "50,000 members": {"metadata": lambda c: c.update(members=c["members"] * 50_000)},
    "one class": top(classes=["x"]),
    "a class twice": top(classes=["x", "x"]),
    "a class without a name": top(classes=["", "x"]),
    "null for a class": top(classes=[None, "x"]),
    "three classes for two": top(classes=["x", "y", "z"]),
    "a class of 1 MB": top(classes=["x" * 10**6, "y"]),
    "an ANSI escape in a class": top(classes=["\x1b[2Jants", "bees"]),
    "a forged line in a class": top(classes=["ants\r\naccuracy 100%", "bees"]),
    "a mark of direction in a class": top(classes=["\u202eants", "bees"]),
    "a surrogate in a class": top(classes=["\ud800ants", "bees"]),
    "a temperature of nothing": top(temperature={"1": 0}),
    "a tiny temperature": top(temperature={"1": 5e-324}),
    "no temperature": top(temperature={}),
    "temperatures of no crops": top(temperature={"1": 1.0, "7": 1.0}),
    "an accuracy of 200%": top(accuracy={"value": 2, "low": 3, "high": 1, "n": -5, "on": "test"}),
    "an unknown field": top(evil=1),
    "a deep record": top(training={"a": json.loads("[" * 400 + "]" * 400)}),
    "an unknown network": member(network="nonsense"),
    "another network": member(network="vgg16"),
    "a network by a path": member(network="../../etc/passwd"),
    "a network of 1 MB": member(network=NETWORK + "x" * 10**6),
    "a network on a hub": member(network="timm:hf-hub:evil/evil"),
    "depth of 6 billion": within("arguments", depth=6 * 10**9 + 2),
    "depth of text": within("arguments", depth="20"),
    "depth of null": within("arguments", depth=None),
    "depth of another network": within("arguments", depth=56),
    "an argument that is the default": within("arguments", shortcut="A"),
    "an argument of no choice": within("arguments", shortcut="Z"),
    "10**12 channels": within("arguments", in_channels=10**12),
    "an argument for weights": within("arguments", weights="/etc/passwd"),
    "an argument self": within("arguments", self=1),
    "a list for a shortcut": within("arguments", shortcut=["A"]),
    "a head of 99,999 units": member(head="mlp:99999"),
    "a head with a line's end": member(head="mlp:16\n"),
    "a head in Arabic digits": member(head="mlp:1٣"),
    "stages that are not there": member(frozen=["nonsense"]),
    "a revision below zero": member(code=-1),
    "another precision": member(precision="float8"),
    "an input of 10**9": within("preprocessing", resize=10**9, height=10**9, width=10**9),
    "resized to 10**18": within("preprocessing", resize=10**18),
    "grey for colour": within("preprocessing", channels=1, mean=[127.5], std=[127.5]),
    "a deviation of nothing": within("preprocessing", std=[5e-324] * 3),
    "a mean of Inf": within("preprocessing", mean=[float("inf")] * 3),
    "an interpolation": within("preprocessing", interpolation="nearest"),
    "a place below zero": tensor(data_offsets=[-8, 504]),
    "a place beyond the file": tensor(data_offsets=[8, 10**12]),
    "a place that is text": tensor(data_offsets="0,8"),
    "a place within another's": tensor(data_offsets=[0, 512]),
    "a shape of 2**80": tensor(shape=[2**40, 2**40]),
    "10,000 dimensions": tensor(shape=[1] * 10_000 + [2, 64]),
    "a type that is not there": tensor(dtype="F31"),
    "integers for floats": tensor(dtype="I32"),
    "8 bits": tensor(dtype="F8_E4M3", shape=[2, 256]),
    "complex numbers": tensor(dtype="C64", shape=[2, 32]),
    "half precision": tensor(dtype="BF16", shape=[2, 128]),
    "a key too many": tensor(evil=1),
    "another shape": tensor(shape=[64, 2]),
    "a tensor by a path": moved(HEAD, "../../etc/passwd"),
    "a tensor with an escape": moved(HEAD, "members.0.\x1b[31m\n\rx"),
    "a tensor of the network too many": moved("training.sha256", "members.0.other"),
    "a tensor of the third network": moved(HEAD, "members.2.head.weight"),
    "a name of 1 MB": moved(HEAD, "members.0." + "A" * 10**6),
    "no head": {"header": lambda header: header.pop(HEAD)},
    "NaN in the head": numbers(HEAD, np.nan),
    "Inf in the head": numbers(HEAD, np.inf),
    "a variance below zero": numbers(VARIANCE, -5),
    "NaN in a variance": numbers(VARIANCE, np.nan),
    "hashes of floats": tensor("training.sha256", dtype="F32", shape=[28, 8]),
    "hashes left out": {"header": lambda header: header.pop("training.sha256")},
    "hashes of fewer photographs": {
        "metadata": lambda content: content["training"].update(hashes=27)
    },
    "hashes of a private fit": {
        "metadata": lambda content: content["training"].update(hashes=None)
    },
    "hashes of 16 bytes": tensor("training.sha256", shape=[56, 16]),
    "NaN in novelty": numbers("novelty.means", np.nan),
    "a scale of nothing": numbers("novelty.scale", 0),
    "novelty of three classes": tensor("novelty.means", shape=[1, 2, 64]),
    "novelty of other dimensions": tensor("novelty.means", shape=[1, 128]),
    "a score above one": numbers("sets.1.scores", 1.5),
    "a score of NaN": numbers("sets.1.scores", np.nan),
    "a weight of nothing": numbers("sets.1.weights", 0),
    "scores of a table": tensor("sets.1.scores", shape=[2, 14]),
    "scores without weights": moved("sets.1.weights", "sets.10.weights"),
    "scores of seven crops": moved("sets.1.weights", "sets.7.weights"),
    "novelty without quantiles": moved("novelty.quantiles", "novelty.other"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_describes_no_classifier_is_refused_in_one_line(classifier, tmp_path, name):
    path = forged(classifier, tmp_path / "forged.safetensors", **FORGED[name])
    with pytest.raises(TortieError, match=r"forged\.safetensors") as refused:
        tortie.load(path)
    said = str(refused.value)
    assert len(said) < 600
    assert said.isprintable()


RAW = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "a length of 2**64": b"\xff" * 8 + b"{}",
    "spaces": (10_000_000).to_bytes(8, "little") + b"{" + b" " * 9_999_998 + b"}",
    "deep": (200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 199_995,
    "UTF-16": (16).to_bytes(8, "little") + '{"a": 1}'.encode("utf-16-le"),
    "no UTF-8": (10).to_bytes(8, "little") + b'{"a":"\xff\xfe"}'[:10],
    "a pickle": b"\x80\x02}q\x00.",
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_safetensors_file_is_refused(tmp_path, name):
    (tmp_path / "raw.safetensors").write_bytes(RAW[name])
    with pytest.raises(TortieError, match=r"raw\.safetensors is .*no classifier of tortie"):
        tortie.load(tmp_path / "raw.safetensors")


def test_a_sparse_file_of_a_terabyte_is_refused_before_it_is_read(classifier, tmp_path):
    """The header says so and the file has that length; it takes a few blocks of the disk."""
    header, _ = parts(classifier)
    header = {"__metadata__": header["__metadata__"]}
    header[HEAD] = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
    path = tmp_path / "sparse.safetensors"
    content = sealed(header, b"")
    path.write_bytes(content)
    try:
        os.truncate(path, len(content) + 2**40)
    except OSError:
        pytest.skip("no sparse files here")
    with pytest.raises(TortieError, match=r"sparse.*another number of photographs"):
        tortie.load(path)


def test_weights_that_overflow_give_no_label(classifier, tmp_path):
    # Sums of a convolution overflow in float32; those of the head are counted in float64.
    path = forged(
        classifier,
        tmp_path / "large.safetensors",
        **numbers("members.0.stages.conv1.conv.weight", 3e38),
    )
    said = tortie.load(path).classify([photograph("blobs", 1)])[0]
    assert said.label is None
    assert "probabilities for it are NaN, as its weights overflow" in (said.reason or "")


@pytest.mark.parametrize("change", ["copied over", "emptied", "edited", "taken away"])
def test_a_loaded_classifier_does_not_depend_on_its_file(classifier, tmp_path, change):
    path = tmp_path / "a.safetensors"
    path.write_bytes(classifier.read_bytes())
    loaded = tortie.load(path)
    image = photograph("blobs", 7)
    wanted = tortie.load(classifier).predict_proba([image])
    if change == "taken away":
        path.unlink()
    else:
        with path.open("r+b") as file:  # in place, as cp does
            if change == "emptied":
                file.truncate(0)
            else:
                file.seek(0 if change == "copied over" else path.stat().st_size // 2)
                file.write(os.urandom(500_000))
    np.testing.assert_array_equal(loaded.predict_proba([image]), wanted)


VALUES = [
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63,
    2**64, 10**40, "", "x", "\x1b[31m", "../../x", "=cmd()", "<b>", "A" * 70_000, [], [[]], {},
    {"a": 1}, [1, 2, 3], ["x"] * 1000,
]  # fmt: skip


def places(content, before=()):
    """The way to every value within JSON."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from places(value, (*before, key))


def mutate(content, data):
    """One value of JSON is set, taken away, doubled or renamed."""
    *way, key = data.draw(st.sampled_from(sorted(places(content), key=str)))
    inside = content
    for step in way:
        inside = inside[step]
    value = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    kind = data.draw(st.sampled_from(["set", "set", "take away", "double", "rename"]))
    if kind == "take away":
        del inside[key]
    elif kind == "double" and isinstance(inside, list):
        inside.insert(0, copy.deepcopy(inside[key]))
    elif kind == "rename" and isinstance(inside, dict):
        inside[data.draw(st.sampled_from(["x", "classes", "self", "\u202e"]))] = inside.pop(key)
    else:
        inside[key] = value


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_mutation_is_refused_or_is_a_classifier(classifier, tmp_path, data):
    """Of the metadata, of the tensors' table and of the bytes, each sealed anew."""
    kind = data.draw(st.sampled_from(["metadata", "metadata", "table", "bytes"]))
    path = tmp_path / "mutated.safetensors"

    def table(header):
        own = header.pop("__metadata__")
        mutate(header, data)
        header["__metadata__"] = own

    def scramble(header, body):
        for _ in range(data.draw(st.integers(1, 200))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    changes = {
        "metadata": {"metadata": lambda content: mutate(content, data)},
        "table": {"header": table},
        "bytes": {"body": scramble},
    }
    forged(classifier, path, **changes[kind])
    try:
        loaded = tortie.load(path)
    except TortieError as error:
        assert "mutated.safetensors" in str(error)
        assert len(str(error)) < 600
        return
    if max(loaded.metadata.members[0].preprocessing.shape) > 512:
        return  # a network for large images, as --input makes it, takes its time
    said = loaded.classify([photograph("blobs", 3)])[0]
    if said.reason is None:
        assert said.label in loaded.metadata.classes
        assert np.isclose(sum(said.probabilities.values()), 1, atol=1e-4)
