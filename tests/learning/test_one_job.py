"""One entry: the resolved depth decides how a fit learns, not how it was spelt."""

import inspect

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out
from tests.learning.examples import job_of
from tortie.cli import fit as fit_command
from tortie.learning.job import Events
from tortie.learning.options import FitOptions
from tortie.weights import classifier_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("job") / "photographs", 12)


@pytest.mark.parametrize("freeze", [10, "10", "avgpool"])
def test_the_same_stages_give_the_same_plan_and_the_same_file(folder, tmp_path, freeze):
    """The fit with ``all`` is the oracle: every tensor and every figure, but the seconds."""
    found = []
    for number, asked in enumerate(("all", freeze)):
        path = tmp_path / f"{number}.safetensors"
        tortie.ImageClassifier(freeze=asked).fit(folder).save(path)
        metadata, tensors = classifier_file.read(path)
        document = metadata.model_dump(mode="json")
        for name in ("seconds", "images_in_store", "images_to_compute", "multiplications",
                     "disk_bytes"):  # fmt: skip
            document["training"]["plan"].pop(name)
        assert document["options"].pop("freeze") == ("all", freeze)[number]  # as it was spelt
        found.append((document, tensors))
    assert found[0][0] == found[1][0]
    assert found[0][1].keys() == found[1][1].keys()
    for name, tensor in found[0][1].items():
        np.testing.assert_array_equal(tensor.numpy(), found[1][1][name].numpy(), err_msg=name)


def test_a_plan_is_announced_once_and_no_work_follows(folder):
    plans, progress = [], []
    events = Events(plan=plans.append, steps=lambda *done: progress.append(done))
    plan = tortie.ImageClassifier("lenet5", weights=None, freeze="none", epochs=1).plan(
        folder, events=events
    )
    assert plans == [plan]
    assert not progress


def test_options_are_declared_alike_for_python_and_for_the_command_line():
    """What the command line adds or takes away is what belongs to files and output."""
    fields = set(FitOptions.model_fields)
    classifier = inspect.signature(tortie.ImageClassifier).parameters
    assert set(classifier) == fields
    for name, parameter in classifier.items():
        assert parameter.default == FitOptions.model_fields[name].default, name
    command = inspect.signature(fit_command.command).parameters
    assert set(command) == fields - {"run"} | {
        "images",
        "output",
        "plan",
        "no_splits",
        "json",
        "quiet",
    }
    for name in fields - {"run"}:
        given = FitOptions.of(**{"freeze": "auto", "run": "a.run", name: command[name].default})
        expected = FitOptions.of(
            **{"freeze": "auto", "run": "a.run", name: classifier[name].default}
        )
        assert getattr(given, name) == getattr(expected, name), name


def test_changed_options_are_checked():
    options = FitOptions.of(epochs=3, freeze="none")
    assert options.changed(epochs=4).epochs == 4
    with pytest.raises(tortie.UsageError, match="epochs is 0"):
        options.changed(epochs=0)


def test_a_job_that_cannot_be_done_is_refused_before_a_photograph_is_read():
    with pytest.raises(tortie.UsageError, match="no stage 'conv9'"):
        job_of(freeze="conv9")


def test_arguments_of_a_network_go_from_the_fit_to_the_file(folder, tmp_path):
    """Average and maximum pooling share every tensor's shape, so only the arguments tell them."""
    found = []
    for number, pooling in enumerate(("average", "max")):
        classifier = tortie.ImageClassifier(
            f"lenet5(pooling={pooling}, activation=tanh)", weights=None, freeze="none", epochs=1
        ).fit(folder)
        path = tmp_path / f"{number}.safetensors"
        classifier.save(path)
        loaded = tortie.load(path)
        images = [str(one.path) for one in classifier.fitted_.data.photographs[:4]]
        np.testing.assert_array_equal(
            loaded.predict_proba(images), classifier.predict_proba(images)
        )
        found.append((classifier, loaded))
    (average, loaded), (most, _) = found
    assert average.fitted_.plan.network == "lenet5(activation=tanh, pooling=average)"
    assert loaded.network == "lenet5(activation=tanh, pooling=average)"
    assert loaded.metadata.members[0].arguments == {"pooling": "average", "activation": "tanh"}
    assert most.metadata.members[0].arguments == {"activation": "tanh"}
    keys = {part._ready()[0].extractor.structure for part in (average, loaded, most)}
    assert keys == {"lenet5(activation=tanh, pooling=average)", "lenet5(activation=tanh)"}


def test_a_network_takes_photographs_of_the_size_that_its_arguments_ask_for():
    job = job_of(network="alexnet(input_size=224)", weights=None, freeze="none")
    assert job.entry.preprocessing.shape == (224, 224, 3)
    assert job.entry.preprocessing.resize == 253  # 256 of 227
