"""One classifier for many threads, forked children and copies: all answer as one thread does."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tortie
from tests.conftest import lay_out, photograph
from tortie.forks import ForkSafeLock, computed_once

IMAGES = [photograph(label, 900 + i) for label in ("blobs", "stripes") for i in range(4)]


@pytest.fixture(scope="module")
def ensemble_file(tmp_path_factory):
    """Three members that differ, so that leaving one out shows."""
    folder = tmp_path_factory.mktemp("ensemble")
    path = folder / "three.safetensors"
    options = {"weights": None, "freeze": "none", "epochs": 1, "members": 3}
    tortie.ImageClassifier("resnet20-cifar", **options).fit(lay_out(folder / "photos")).save(path)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "onednn", "eager"])
@pytest.mark.parametrize("kind", ["one", "three"])
def test_threads_that_call_a_fresh_classifier_get_what_one_gets(
    fitted_file, ensemble_file, kind, engine, tmp_path, monkeypatch
):
    file = fitted_file if kind == "one" else ensemble_file
    options = {"engine": engine, "precision": "float32", "threads": 1}
    wanted = tortie.load(file).set_params(**options).predict_proba(IMAGES)
    monkeypatch.setenv("TORTIE_CACHE", str(tmp_path / "cold"))  # so that the engine has to run
    for _ in range(2):
        classifier = tortie.load(file).set_params(**options)
        begin = threading.Barrier(8)

        def ask(number, classifier=classifier, begin=begin):
            begin.wait()
            return classifier.predict_proba([IMAGES[number]])[0]

        with ThreadPoolExecutor(8) as pool:
            found = np.stack(list(pool.map(ask, range(8))))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_arguments_may_change_while_another_thread_predicts(ensemble_file):
    classifier = tortie.load(ensemble_file).set_params(precision="float32", threads=1)
    wanted = classifier.predict_proba(IMAGES)
    stop = threading.Event()

    def change():
        number = 0
        while not stop.wait(0.002):
            number += 1
            classifier.set_params(
                threads=1 + number % 2, engine=("eager", "onnxruntime")[number % 2]
            )

    changing = threading.Thread(target=change)
    changing.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            each = list(pool.map(lambda _: classifier.predict_proba(IMAGES), range(40)))
    finally:
        stop.set()
        changing.join()
    for found in each:
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_wrong_argument_changes_none(fitted_file):
    classifier = tortie.load(fitted_file)
    with pytest.raises(tortie.UsageError, match="no argument 'depth'"):
        classifier.set_params(threads=1, depth=3)
    assert classifier.threads is None


FORKED = """
import faulthandler, os, sys, threading, time
faulthandler.dump_traceback_later(100, exit=True)
import numpy as np
import tortie
from PIL import Image
from tortie.images.quiet import quiet, unlimited
from tortie.images.read import _hurry
file, engine, folder, case = sys.argv[1:]
import torch
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)  # the team of threads that a child lacks
names = sorted(os.listdir(folder))
images = [Image.open(os.path.join(folder, name)).convert("RGB") for name in names]
options = dict(engine=engine, precision="float32", threads=2)
classifier = tortie.load(file).set_params(**options)
wanted = classifier.predict_proba(images)
if case == "held":  # by a thread that the child does not have
    def hold():
        with classifier._lock, quiet._lock, unlimited._lock, _hurry._lock:
            held.set()
            time.sleep(5)
    held = threading.Event()
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
child = os.fork()
if child == 0:
    os.environ["TORTIE_CACHE"] += "-child"  # so that the child has to compute
    found = [classifier.predict_proba(images)]
    if case == "loaded":
        found.append(tortie.load(file).set_params(**options).predict_proba(images))
    if case == "fitted":
        labels = ["a", "b"] * (len(images) // 2)
        own = tortie.ImageClassifier("lenet5", weights=None, freeze="none", epochs=1)
        own.fit(images, labels).predict(images)
    same = all(np.allclose(one, wanted, atol=1e-4) for one in found)
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("engine", "case"),
    [("onnxruntime", "loaded"), ("onednn", "loaded"), ("eager", "held"), ("onnxruntime", "fitted")],
)
def test_a_child_forked_after_a_prediction_answers_the_same(fitted_file, tmp_path, engine, case):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        image.save(folder / f"{number}.png")
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "TORTIE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", FORKED, fitted_file, engine, folder, case], env=environment,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_lock_that_another_thread_holds_is_free_in_a_child():
    lock, held, leave = ForkSafeLock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if lock._lock.acquire(timeout=5) else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_computed_once_is_computed_once():
    class Slow:
        count = 0

        @computed_once
        def value(self):
            self.count += 1
            begun.wait(0.2)
            return object()

    begun, slow = threading.Event(), Slow()
    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(lambda _: slow.value, range(8)))
    assert len(values) == slow.count == 1


def again(way, classifier, path):
    if way == "pickle":
        return pickle.loads(pickle.dumps(classifier))
    if way == "deepcopy":
        return copy.deepcopy(classifier)
    joblib = pytest.importorskip("joblib")
    joblib.dump(classifier, path)
    return joblib.load(path)


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_copies_of_a_loaded_and_of_a_used_classifier_predict_the_same(
    fitted_file, ensemble_file, way, tmp_path
):
    for file in (fitted_file, ensemble_file):
        used = tortie.load(file).set_params(precision="float32", seed=4)
        fresh = again(way, used, tmp_path / "fresh")
        wanted = used.predict_proba(IMAGES)
        for one in (fresh, again(way, used, tmp_path / "used")):
            np.testing.assert_allclose(one.predict_proba(IMAGES), wanted, atol=1e-6)
            assert one.get_params() == used.get_params()
            one.save(tmp_path / "again.safetensors", force=True)
            assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
@pytest.mark.parametrize("freeze", ["all", "none"])
def test_copies_of_a_fitted_classifier_are_whole(way, freeze, tmp_path):
    options = {} if freeze == "all" else {"network": "lenet5", "weights": None, "epochs": 1}
    fitted = tortie.ImageClassifier(freeze=freeze, **options).fit(lay_out(tmp_path / "photographs"))
    wanted = fitted.predict_proba(IMAGES)
    copied = again(way, fitted, tmp_path / "copy")
    np.testing.assert_allclose(copied.predict_proba(IMAGES), wanted, atol=1e-6)
    assert copied.accuracy_ == fitted.accuracy_
    assert copied.fitted_.plan == fitted.fitted_.plan
    assert list(copied.fitted_.split_rows()) == list(fitted.fitted_.split_rows())
    assert copied.evaluate(tmp_path / "photographs").seen == fitted.evaluate(
        tmp_path / "photographs"
    ).seen  # fmt: skip


def test_an_unfitted_classifier_is_copied():
    assert copy.deepcopy(tortie.ImageClassifier(seed=3)).get_params()["seed"] == 3
