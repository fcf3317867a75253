"""``tortie fit`` where stages learn, as a user meets it: files, refusals, --resume and --force."""

import importlib.metadata
import json
import os
import signal

import pytest
import torch
from safetensors.torch import save_file

import tortie
from tests.cli.test_cli import run  # noqa: F401
from tests.conftest import lay_out, photograph
from tortie.errors import TortieError
from tortie.learning import stepwise_fit
from tortie.training import loop

# Precision is timed where it is not said, so that two fits of one seed may differ.
SCRATCH = (
    "--network", "lenet5", "--weights", "none", "--freeze", "none", "--threads", "1",
    "--precision", "float32",
)  # fmt: skip
SHORT = (*SCRATCH, "--epochs", "2", "--batch", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Splits are given: of each class, 12 photographs to train on, 10 to choose by, 10 to test."""
    path = tmp_path_factory.mktemp("by steps") / "photographs"
    lay_out(path, 12, ("train",))
    lay_out(path, 10, ("", "valid", "test"))
    for name in ("blobs", "stripes"):
        for file in (path / name).iterdir():
            file.unlink()
        (path / name).rmdir()
    return path


@pytest.fixture
def stopped(run, folder, tmp_path, monkeypatch):  # noqa: F811
    """A run that Ctrl-C stopped in its first epoch."""
    plain = loop.Step.__call__

    def interrupted(self, inputs, targets, *share):
        value = plain(self, inputs, targets, *share)
        if targets.dim() == 1 and not interrupted.done and self._trained.training and trained[0]:
            interrupted.done = True
            signal.raise_signal(signal.SIGINT)
        return value

    interrupted.done = False
    trained = [False]
    begin = loop._resumed

    def taken_up(*arguments):
        trained[0] = True
        return begin(*arguments)

    monkeypatch.setattr(loop, "_resumed", taken_up)
    monkeypatch.setattr(loop.Step, "__call__", interrupted)
    output = tmp_path / "pets.safetensors"
    code, _, err = run("fit", folder, "-o", output, *SHORT)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"tortie: stopped in epoch 1 of 2, after step 1 of 3; {tmp_path / 'pets.run'} keeps the "
        "last checkpoint, and the same command with --resume goes on"
    )
    assert not output.exists()
    return output


def test_fit_predict_and_evaluate_agree(run, folder, tmp_path):  # noqa: F811
    output = tmp_path / "pets.safetensors"
    code, out, err = run("fit", folder, "-o", output, "--json", *SHORT, "--epochs", "4")
    assert code == 0
    document = json.loads(out)
    assert document["classes"] == ["blobs", "stripes"]
    assert document["plan"]["training"]["recipe"] == "lenet5"
    assert document["plan"]["training"]["epochs"] == 4
    assert document["plan"]["training"]["steps"] == 4 * 3
    assert document["plan"]["training"]["chosen_on"] == 20
    assert document["plan"]["training"]["input"] == "28x28x1"  # LeNet-5's, of colour photographs
    assert "4 epochs of 24 photographs as 28x28x1, batch size 8" in err
    rows = (tmp_path / "pets.run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in rows]
    best = max(rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert f"epoch {best['epoch']} of 4 is kept" in document["notes"]
    assert document["freeze"] == {"stages": 0, "of": 6, "last_frozen": None, "later": []}
    assert (document["accuracy"]["on"], document["accuracy"]["n"]) == ("test", 20)
    assert "epoch 4 of 4: training loss" in err
    code, out, _ = run("evaluate", output, folder, "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == document["accuracy"]
    code, out, _ = run("predict", output, folder / "test", "--json")
    assert code == 0
    judged = json.loads(out)
    right = sum(one["label"] == one["path"].split("/")[-2] for one in judged)
    assert right / len(judged) == document["accuracy"]["value"]
    kept = {path.name for path in (tmp_path / "pets.run").iterdir()} - {".lock"}
    assert kept == {
        "run.json", "plan.json", "photographs.csv", "metrics.jsonl", "metrics.csv",
        "last.safetensors", "best.safetensors", "environment.json", "README.txt",
    }  # fmt: skip
    readme = (tmp_path / "pets.run" / "README.txt").read_text()
    assert all(name in readme for name in kept - {"README.txt"})
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert all(0 <= row["validation_accuracy"] <= 1 for row in rows)


def test_a_colour_network_on_grey_photographs_with_a_head_of_its_own(run, folder, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    network = tortie.networks.resnet20_cifar(in_channels=1)
    save_file(network.state_dict(), tmp_path / "grey.safetensors")
    output = tmp_path / "pets.safetensors"
    words = (
        "--network", "resnet20-cifar", "--weights", tmp_path / "grey.safetensors", "--input",
        "32x32x1", "--freeze", "conv2_x", "--head", "mlp:6", "--epochs", "1", "--threads", "1",
    )  # fmt: skip
    code, out, _ = run("fit", folder, "-o", output, "--json", *words)
    assert code == 0
    document = json.loads(out)
    assert any("grey input takes no" in note for note in document["notes"])
    code, out, _ = run("evaluate", output, folder, "--json")
    assert json.loads(out)["accuracy"] == document["accuracy"]
    photograph("blobs", 88).convert("L").save(tmp_path / "grey.png")
    code, out, _ = run("predict", output, tmp_path / "grey.png", "--json")
    assert code == 0


def test_resume_goes_on_to_the_same_file(run, folder, stopped, tmp_path):  # noqa: F811
    code, _, err = run("fit", folder, "-o", stopped, *SHORT, "--resume", "--quiet")
    assert (code, err) == (0, "")
    whole = tmp_path / "whole.safetensors"
    assert run("fit", folder, "-o", whole, *SHORT, "--quiet")[0] == 0
    logs = [(path.with_suffix(".run") / "metrics.jsonl").read_text() for path in (stopped, whole)]
    assert logs[0] == logs[1]
    one, other = tortie.load(stopped), tortie.load(whole)
    for name, tensor in one.networks_[0].state_dict().items():
        assert torch.equal(tensor, other.networks_[0].state_dict()[name])
    assert one.accuracy_ == other.accuracy_
    # A finished run can be taken up once more, and gives the same.
    before = stopped.read_bytes()
    code, _, err = run("fit", folder, "-o", stopped, *SHORT, "--resume")
    assert code == 2 and "--resume with --force goes on with its run" in err
    assert run("fit", folder, "-o", stopped, *SHORT, "--resume", "--force", "--quiet")[0] == 0
    again = tortie.load(stopped).networks_[0].state_dict()
    for name, tensor in one.networks_[0].state_dict().items():
        assert torch.equal(tensor, again[name])
    assert len(stopped.read_bytes()) == pytest.approx(len(before), abs=400)  # seconds differ


def test_a_run_is_neither_begun_twice_nor_resumed_from_nothing(run, folder, stopped):  # noqa: F811
    code, _, err = run("fit", folder, "-o", stopped, *SHORT)
    assert code == 2
    assert "pets.run has a run: --resume goes on with it, --force begins again" in err
    code, _, err = run("fit", folder, "-o", stopped.with_name("b.safetensors"), *SHORT, "--resume")
    assert code == 2
    assert "b.run has no run to resume: leave --resume out" in err


def test_force_begins_again_and_a_plan_touches_nothing(run, folder, stopped):  # noqa: F811
    last = stopped.with_suffix(".run") / "last.safetensors"
    before = last.read_bytes()
    for words in (("--plan",), ("--plan", "--force"), ("--plan", "--resume")):
        assert run("fit", folder, "-o", stopped, *SHORT, *words)[0] == 0
    assert run("fit", "nowhere", "-o", stopped, *SHORT, "--force")[0] == 2
    assert last.read_bytes() == before
    code, _, _ = run("fit", folder, "-o", stopped, *SHORT, "--epochs", "1", "--force", "--quiet")
    assert code == 0
    described = json.loads((stopped.with_suffix(".run") / "run.json").read_text())
    assert described["recipe"]["epochs"] == 1


def test_force_spares_a_run_until_the_next_one_begins(run, folder, stopped, tmp_path):  # noqa: F811
    """What is found late, by options, photographs, networks or a tracker, costs nothing."""

    def kept():
        return {path: path.read_bytes() for path in stopped.with_suffix(".run").iterdir()}

    before = kept()
    lone = lay_out(tmp_path / "lone", 1)
    broken = lay_out(tmp_path / "broken", 2)
    for path in broken.rglob("*.jpg"):
        path.write_bytes(b"no image")
    for images, *words in (
        (folder, "--recipe", "nope"),
        (folder, "--freeze", "conv9"),
        (folder, "--input", "8x8x3"),
        (folder, "--valid", tmp_path / "nowhere"),
        (folder, "--track", "wandb"),
        (folder, "--members", "0"),
        (folder, "--freeze", "all", "--weights", "imagenet"),
        (lone,),
        (broken,),
    ):
        assert run("fit", images, "-o", stopped, *SHORT, *words, "--force")[0] in (1, 2), words
        assert kept() == before, words


def test_a_fit_without_steps_takes_the_run_of_the_old_file_away(run, folder, stopped):  # noqa: F811
    """Else the folder beside a classifier would be another's."""
    run_folder, words = stopped.with_suffix(".run"), ("--threads", "1", "--force", "--quiet")
    (run_folder / "thesis.tex").write_text("years of work")
    code, _, err = run("fit", folder, "-o", stopped, *words)
    assert code == 2 and "holds what no run wrote (thesis.tex)" in err
    assert not stopped.exists()  # it was said before the work
    (run_folder / "thesis.tex").unlink()
    assert run("fit", folder, "-o", stopped, *words)[0] == 0
    assert not run_folder.exists()


def test_a_run_says_when_and_where_it_was_at_work(run, folder, stopped, monkeypatch):  # noqa: F811
    monkeypatch.chdir(folder)
    assert run("fit", ".", "-o", stopped, *SHORT, "--resume", "--quiet")[0] == 0
    times = json.loads((stopped.with_suffix(".run") / "environment.json").read_text())
    assert len(times) == 2 and times[0]["when"] <= times[1]["when"]
    assert times[1]["folder"] == str(folder) != times[0]["folder"]
    assert times[1]["versions"]["torch"] == importlib.metadata.version("torch")


def test_ctrl_c_while_measuring_says_that_the_run_goes_on(run, folder, tmp_path, monkeypatch):  # noqa: F811
    def stop(*_):
        raise KeyboardInterrupt

    output = tmp_path / "pets.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(stepwise_fit, "_predictions", stop)
        code, _, err = run("fit", folder, "-o", output, *SHORT)
    assert code == 1
    assert err.splitlines()[-1].endswith("and the same command with --resume goes on")
    assert run("fit", folder, "-o", output, *SHORT, "--resume", "--quiet")[0] == 0


def test_a_folder_that_cannot_be_written_is_said_before_the_work(run, folder, monkeypatch):  # noqa: F811
    usual = os.open

    def sealed(path, *arguments, **more):
        if str(path).startswith("/sealed"):
            raise PermissionError(13, "Permission denied")
        return usual(path, *arguments, **more)

    monkeypatch.setattr("os.open", sealed)
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: str(path) == "/sealed")
    code, _, err = run("fit", folder, "-o", "/sealed/pets.safetensors", *SHORT)
    assert code == 2
    said = "tortie: /sealed cannot be written (Permission denied): choose another folder"
    assert err == f"{said} for the output\n"


def test_a_full_disk_at_the_end_loses_nothing(run, folder, tmp_path, monkeypatch):  # noqa: F811
    def full(*_, **__):
        raise TortieError(f"cannot write {output}: No space left on device")

    output = tmp_path / "pets.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(tortie.ImageClassifier, "save", full)
        code, _, err = run("fit", folder, "-o", output, *SHORT)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"tortie: cannot write {output}: No space left on device; nothing that was learnt is lost: "
        "the same command with --resume goes on"
    )
    assert run("fit", folder, "-o", output, *SHORT, "--resume", "--quiet")[0] == 0


def test_a_run_goes_on_from_another_working_directory(run, folder, stopped, monkeypatch):  # noqa: F811
    """Its photographs were named from the root; now they are named from beside and from within."""
    monkeypatch.chdir(folder)
    assert run("fit", ".", "-o", stopped, *SHORT, "--resume", "--quiet")[0] == 0
    stopped.unlink()
    monkeypatch.chdir(folder.parent)
    assert run("fit", folder.name, "-o", stopped, *SHORT, "--resume", "--quiet")[0] == 0


def test_one_depth_does_not_go_on_with_a_comparison_nor_the_other_way(run, folder, stopped):  # noqa: F811
    words = ("--threads", "1", "--resume", "--freeze")
    code, _, err = run("fit", folder, "-o", stopped, *words, "auto")
    assert (code, "freeze is auto, was none" in err) == (2, True)
    path = stopped.with_suffix(".run") / "run.json"
    path.write_text(json.dumps({"freeze": "auto", "compared": ["mbconv4", "none"]}))
    code, _, err = run("fit", folder, "-o", stopped, *words, "mbconv4")
    assert (code, "freeze is mbconv4, was auto" in err) == (2, True)


def test_force_spares_what_no_run_wrote(run, folder, stopped):  # noqa: F811
    (stopped.with_suffix(".run") / "thesis.tex").write_text("years of work")
    code, _, err = run("fit", folder, "-o", stopped, *SHORT, "--force")
    assert code == 2
    assert "holds what no run wrote (thesis.tex), so it is left as it is" in err
    assert (stopped.with_suffix(".run") / "last.safetensors").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("--epochs", "9"), "recipe.epochs is 9, was 2"),
        (("--recipe", "scratch"), "recipe.name is scratch, was lenet5"),
        (("--learning-rate", "0.01"), "recipe.learning_rate is 0.01, was 0.05"),
        (("--seed", "1"), "seed is 1, was 0"),
        (("--threads", "2"), "threads is 2, was 1"),
        (("--head", "mlp:4"), "head is mlp:4, was linear"),
        (("--batch", "9"), "recipe.batch is 9, was 8"),
    ],
)
def test_going_on_with_other_choices_is_refused(run, folder, stopped, words, message):  # noqa: F811
    before = (stopped.with_suffix(".run") / "last.safetensors").read_bytes()
    code, _, err = run("fit", folder, "-o", stopped, *SHORT, *words, "--resume")
    assert code == 2
    assert message in err
    assert "take those it began with, or --force without --resume to begin again" in err
    assert (stopped.with_suffix(".run") / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize("change", ["content", "class", "more", "gone"])
def test_going_on_with_other_photographs_is_refused(run, folder, stopped, tmp_path, change):  # noqa: F811
    """The photographs of the run are moved back, one of them changed."""
    import shutil

    own = folder.parent / "changed"
    shutil.copytree(folder, own)
    folder.rename(folder.parent / "aside")
    own.rename(folder)
    try:
        first = folder / "train" / "blobs" / "03.jpg"
        if change == "content":
            photograph("blobs", 500).save(first)
            message = "1 of other content"
        elif change == "class":
            first.rename(folder / "train" / "stripes" / "99.jpg")
            message = "1 of another class"
        elif change == "more":
            photograph("blobs", 501).save(folder / "train" / "blobs" / "77.jpg")
            message = "1 new"
        else:
            first.unlink()
            message = "1 gone"
        code, _, err = run("fit", folder, "-o", stopped, *SHORT, "--resume")
        assert code == 2
        assert "pets.run cannot go on with other photographs: " in err
        assert f"{message} ({folder / 'train'}/" in err
    finally:
        shutil.rmtree(folder)
        (folder.parent / "aside").rename(folder)
    assert run("fit", folder, "-o", stopped, *SHORT, "--resume", "--quiet")[0] == 0


def test_a_damaged_checkpoint_is_one_line(run, folder, stopped):  # noqa: F811
    last = stopped.with_suffix(".run") / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-7])
    code, _, err = run("fit", folder, "-o", stopped, *SHORT, "--resume")
    assert code == 1
    assert "last.safetensors is damaged or gone" in err
    assert "Traceback" not in err


def test_a_loss_that_is_no_number_stops_the_fit(run, folder, tmp_path, monkeypatch):  # noqa: F811
    code, _, err = run(
        "fit", folder, "-o", tmp_path / "a.safetensors", *SHORT, "--learning-rate", "1e6"
    )
    assert code == 2 and "learning_rate: expected at most 100" in err
    code, out, err = run(
        "fit", folder, "-o", tmp_path / "a.safetensors", *SCRATCH, "--learning-rate", "100",
        "--epochs", "40", "--recipe", "resnet", "--json",
    )  # fmt: skip
    assert code == 1
    said = json.loads(out)["error"]
    assert said in err
    assert "try --learning-rate 20 with --force" in said
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("--recipe", "nope"), "no recipe 'nope': there are"),
        (("--recipe", "resnet50"), "did you mean resnet"),
        (("--head", "mlp:0"), "head 'mlp:0': expected linear, or mlp:N"),
        (("--input", "8x8x3"), "linear layers fix the size of lenet5 at 28x28"),
        (("--freeze", "c3"), "fresh weights cannot be frozen"),
        (("--freeze", "conv9", "--weights", "imagenet"), "lenet5 has no trained weights"),
        (("--freeze", "conv9", "--weights", "imagenet", "--network", "efficientnet-lite0"),
         "no stage 'conv9'"),
        (("--freeze", "99", "--weights", "imagenet", "--network", "efficientnet-lite0"),
         "cannot cut after 99 stages"),
        (("--freeze", "all", "--weights", "imagenet", "--network", "efficientnet-lite0"),
         "epochs is for training by steps"),
        (("--batch", "0"), "batch is 0"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(run, folder, tmp_path, words, message):  # noqa: F811
    code, _, err = run("fit", folder, "-o", tmp_path / "a.safetensors", *SHORT, *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_recipe_of_ones_own_is_named_with_what_is_wrong_in_it(run, folder, tmp_path):  # noqa: F811
    (tmp_path / "mine.json").write_text('{"name": "mine", "learning_rte": 1}')
    words = (*SHORT, "--recipe", tmp_path / "mine.json")
    code, _, err = run("fit", folder, "-o", tmp_path / "a.safetensors", *words)
    assert code == 2
    assert f"{tmp_path / 'mine.json'}: recipe: no field 'learning_rte': did you mean" in err
