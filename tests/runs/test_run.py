"""A run's folder: what it keeps, what it refuses, and what a full disk or damage leaves."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from tests.training import examples
from tests.training.examples import assert_same, data, network, recipe, run_training
from tortie.errors import TortieError, UsageError
from tortie.runs.folder import check_beginning, clear
from tortie.runs.resume import Listed
from tortie.runs.run import Run
from tortie.training.loop import train
from tortie.training.state import TrainState

DOCUMENT = {
    "tortie": "0.1.0", "recipe": {"name": "lenet5", "epochs": 12}, "precision": "float32",
    "activations": "none",
}  # fmt: skip
PHOTOGRAPHS = [
    Listed("a/1.jpg", "a", "train", "", "11"),
    Listed("a/2.jpg", "a", "validation", "", "22"),
    Listed("b/new\nline, \"quoted\".jpg", "b", "train", "2", "33"),
    Listed(b"b/\xff\xfe.jpg".decode("utf-8", "surrogateescape"), "b", "train", "2", "44"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A run that was begun, and its process ended."""
    run = Run(tmp_path / "pets.run")
    run.begin(DOCUMENT, PHOTOGRAPHS)
    run.close()
    return run.folder


def go_on(folder, document=DOCUMENT, photographs=PHOTOGRAPHS):
    run = Run(folder, resume=True)
    try:
        run.begin(document, photographs)
    finally:
        run.close()


def test_the_same_choices_and_photographs_go_on(folder):
    go_on(folder)
    go_on(folder, json.loads(json.dumps(DOCUMENT)))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"recipe": {"name": "vgg", "epochs": 12}}, "recipe.name is vgg, was lenet5"),
        ({"recipe": {"name": "lenet5", "epochs": 24}}, "recipe.epochs is 24, was 12"),
        ({"tortie": "0.2.0"}, "tortie is 0.2.0, was 0.1.0"),
        ({"new": 1}, "new is 1, was None"),
    ],
)
def test_other_choices_are_refused_by_name(folder, changes, message):
    with pytest.raises(UsageError, match="cannot go on with other choices") as refused:
        go_on(folder, {**DOCUMENT, **changes})
    assert message in str(refused.value)
    assert str(refused.value).count(" was ") == 1  # nothing else differs
    assert "--force" in str(refused.value)
    go_on(folder)  # what was refused changed nothing


def test_what_differs_fits_one_screen(tmp_path):
    """Views follow from the seed: thousands of numbers say nothing that it does not."""
    begun = {**DOCUMENT, "seed": 0, "views": list(range(2000))}
    run = Run(tmp_path / "pets.run")
    run.begin(begun, PHOTOGRAPHS)
    run.close()
    with pytest.raises(UsageError, match="other choices: seed is 1, was 0; take those"):
        go_on(run.folder, {**begun, "seed": 1, "views": list(range(1, 2001))})
    with pytest.raises(UsageError, match="other choices: another views; take those"):
        go_on(run.folder, {**begun, "views": list(range(1, 2001))})
    many = {f"choice {number}": number for number in range(100)}
    with pytest.raises(UsageError, match="and 94 more") as refused:
        go_on(run.folder, {**begun, **many})
    assert len(str(refused.value)) < 600


def test_weights_are_known_by_their_content(tmp_path):
    """A file named from another folder is the same; one of other content under its name is not."""
    begun = {**DOCUMENT, "weights": "pets.safetensors", "tensors": "01"}
    run = Run(tmp_path / "pets.run")
    run.begin(begun, PHOTOGRAPHS)
    run.close()
    go_on(run.folder, {**begun, "weights": "../pets.safetensors"})
    with pytest.raises(UsageError, match="choices: the weights that it begins from have other"):
        go_on(run.folder, {**begun, "tensors": "02"})
    with pytest.raises(UsageError, match=r"choices: weights is None, was pets\.safetensors; take"):
        go_on(run.folder, {**begun, "weights": None, "tensors": "02"})


def changed(**fields):
    return [PHOTOGRAPHS[0]._replace(**fields), *PHOTOGRAPHS[1:]]


def moved(photographs):
    return [one._replace(path=f"/far/away/{one.path}") for one in photographs]


def test_photographs_go_on_wherever_they_are_now(folder):
    """The same content, classes, splits and groups: named from elsewhere, moved, or renamed."""
    go_on(folder, photographs=moved(PHOTOGRAPHS))
    go_on(folder, photographs=[one._replace(path=one.path[2:]) for one in PHOTOGRAPHS])
    go_on(folder, photographs=changed(path="a/first.jpg"))


@pytest.mark.parametrize(
    "photographs, message",
    [
        (PHOTOGRAPHS[1:], r"1 gone \(a/1.jpg\)"),
        ([*PHOTOGRAPHS, Listed("c/5.jpg", "c", "train", "", "55")], r"1 new \(c/5.jpg\)"),
        (changed(sha256="99"), r"1 of other content \(a/1.jpg\)"),
        (changed(label="b"), r"1 of another class \(a/1.jpg\)"),
        (changed(path="b/0.jpg", label="b"), r"1 of another class \(b/0.jpg\)"),
        (changed(split="test"), r"1 in another split \(a/1.jpg\)"),
        (changed(group="2"), r"1 in another group \(a/1.jpg\)"),
        (changed(path="x/1.jpg", sha256="99"), r"1 gone \(a/1.jpg\), 1 new \(x/1.jpg\)"),
        (PHOTOGRAPHS[::-1], "the same ones in another order"),
        (moved(changed(sha256="99")), r"1 of other content \(/far/away/a/1.jpg\)"),
        (moved(PHOTOGRAPHS[1:]), r"1 gone \(a/1.jpg\)"),
    ],
)
def test_other_photographs_are_refused_by_name(folder, photographs, message):
    with pytest.raises(UsageError, match=f"cannot go on with other photographs: {message}; put"):
        go_on(folder, photographs=photographs)
    go_on(folder)


def test_a_run_is_not_begun_twice_nor_resumed_from_nothing(folder, tmp_path):
    with pytest.raises(UsageError, match="has a run: --resume goes on with it, --force begins"):
        Run(folder)
    with pytest.raises(UsageError, match="has no run to resume: leave --resume out"):
        Run(tmp_path / "other.run", resume=True)
    assert not (tmp_path / "other.run").exists()


def test_two_at_once_in_one_folder_are_refused(folder):
    first = Run(folder, resume=True)
    for second in (lambda: Run(folder, resume=True), lambda: clear(folder)):
        with pytest.raises(UsageError, match=r"another fit is at work in .*: wait for it"):
            second()
    first.close()
    go_on(folder)


def test_clearing_takes_away_what_a_run_wrote_and_nothing_else(tmp_path):
    folder = tmp_path / "pets.run"
    run_training(folder, recipe())
    (folder / ".last.safetensors.abc.part").write_bytes(b"half")
    clear(folder)
    assert not folder.exists()
    clear(folder)
    folder.mkdir()
    (folder / ".lock").touch()
    clear(folder)  # a lock alone is no stranger
    assert not folder.exists()
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds what no run wrote \(thesis.tex\)"):
        clear(folder)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_run_does_not_begin_in_a_folder_of_something_else(tmp_path):
    """Nor where the name is a link to one."""
    there, link = tmp_path / "there", tmp_path / "pets.run"
    there.mkdir()
    (there / "thesis.tex").write_text("years of work")
    link.symlink_to(there, target_is_directory=True)
    for folder in (there, link):
        with pytest.raises(UsageError, match=r"holds what no run wrote \(thesis.tex\)"):
            check_beginning(folder, resume=False)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_gives_way_when_the_next_one_begins_and_not_before(folder):
    (folder / "last.safetensors").write_bytes(b"weeks of work")
    before = contents(folder)
    run = Run(folder, replaces=folder)
    assert run.document() is None  # of another run, it says nothing to this one
    run.close()
    assert contents(folder) == before
    run = Run(folder, replaces=folder)
    run.begin({**DOCUMENT, "seed": 7}, PHOTOGRAPHS)
    assert run.document()["seed"] == 7 and run.restore() is None
    run.close()


def lay_out_runs(outer, *names):
    for name in names:
        run = Run(outer / name)
        run.begin(DOCUMENT, PHOTOGRAPHS)
        run.close()


def test_all_members_give_way_to_the_first_one_and_to_a_single_network(tmp_path):
    outer = tmp_path / "pets.run"
    lay_out_runs(outer, "member-1", "member-2", "member-3")
    first = Run(outer / "member-1", replaces=outer)
    first.begin({**DOCUMENT, "seed": 7}, PHOTOGRAPHS)
    assert [path.name for path in outer.iterdir() if path.is_dir()] == ["member-1"]
    first.close()
    lay_out_runs(outer, "member-2")
    single = Run(outer, replaces=outer)
    single.begin(DOCUMENT, PHOTOGRAPHS)
    single.close()
    assert not list(outer.glob("member-*"))


def test_nothing_is_cleared_where_not_everything_can_be(tmp_path):
    outer = tmp_path / "pets.run"
    lay_out_runs(outer, "member-1", "member-2")
    before = contents(outer)
    second = Run(outer / "member-2", resume=True)
    with pytest.raises(UsageError, match=r"another fit is at work in .*member-2"):
        clear(outer)
    second.close()
    (outer / "member-2" / "thesis.tex").write_bytes(b"years of work")
    for refused in (lambda: clear(outer), lambda: Run(outer, replaces=outer)):
        with pytest.raises(UsageError, match=r"member-2 holds what no run wrote \(thesis.tex\)"):
            refused()
    (outer / "member-2" / "thesis.tex").unlink()
    assert {path: content for path, content in contents(outer).items() if content} == {
        path: content for path, content in before.items() if content
    }  # locks are empty


def test_what_was_compared_gives_way_and_other_runs_beside_do_not(tmp_path):
    outer = tmp_path / "pets.run"
    run = Run(outer)
    run.begin({"freeze": "auto", "compared": ["conv3_x", "none"]}, PHOTOGRAPHS)
    run.close()
    lay_out_runs(outer, "none", "mine")
    with pytest.raises(UsageError, match=r"holds what no run wrote \(mine\)"):
        clear(outer)
    (outer / "mine").rename(tmp_path / "mine")
    clear(outer)
    assert not outer.exists()


def test_one_network_and_several_are_told_apart(tmp_path, folder):
    with pytest.raises(UsageError, match="has a run of one network, not of several"):
        Run(folder / "member-1")
    outer = tmp_path / "others.run"
    lay_out_runs(outer, "member-1", "member-2")
    with pytest.raises(UsageError, match="has a run of several members: take the --members"):
        Run(outer, resume=True)
    with pytest.raises(UsageError, match="has a run: --resume goes on"):
        Run(outer)


def test_no_folder_is_left_where_nothing_was_begun(tmp_path):
    for folder in (tmp_path / "pets.run", tmp_path / "pets.run" / "member-1"):
        Run(folder).close()
        assert not list(tmp_path.iterdir())


def test_what_a_kill_left_half_written_is_swept(folder):
    for name in (".last.safetensors.x1.part", ".metrics.csv.x2.part"):
        (folder / name).write_bytes(b"half")
    (folder / ".mine.part").write_text("not a run's")
    go_on(folder)
    assert {path.name for path in folder.glob(".*.part")} == {".mine.part"}


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def take_away(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, empty])
@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
def test_damage_is_one_line_with_the_way_out(tmp_path, name, damage):
    folder = tmp_path / "run"
    run_training(folder, recipe())
    damage(folder / name)
    run = Run(folder, resume=True)
    with pytest.raises(TortieError, match=rf"{name} is damaged or gone \(.*\): --force without"):
        run.restore() if name.startswith("last") else run.best()
    run.close()


@pytest.mark.parametrize("damage", [cut_short, empty, take_away])
def test_a_damaged_list_or_description_is_one_line(folder, damage):
    with (folder / "photographs.csv").open("a") as listed:
        listed.write("x" * 90)
    damage(folder / "photographs.csv")
    with pytest.raises(TortieError, match="photographs"):
        go_on(folder)
    for text in ("{", "[]", '{"precision": "float32"}'):
        (folder / "run.json").write_text(text)
        with pytest.raises(TortieError, match=r"run.json is damaged or gone"):
            go_on(folder)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    folder = tmp_path / "run"
    run_training(folder, recipe())
    run_training(tmp_path / "other", recipe(), data(classes=3))
    (tmp_path / "other" / "last.safetensors").replace(folder / "last.safetensors")
    run = Run(folder, resume=True)
    with pytest.raises(TortieError, match=r"last.safetensors is of another network"):
        train(network(), data(), recipe(), examples.config(), run, lambda *_: 0, lambda _: None)
    run.close()
    save_file({"a": torch.zeros(3)}, folder / "last.safetensors", {"state": "{}"})
    run = Run(folder, resume=True)
    with pytest.raises(TortieError, match=r"last.safetensors is damaged"):
        run.restore()
    run.close()


def test_a_place_comes_back_as_it_was(folder):
    state = TrainState(2, 3, 0.1 + 0.2, 7, 1, (1 / 3, 2 / 3), 4, [{"epoch": 1, "x": None}], "over")
    run = Run(folder, resume=True)
    tensors = {"trained.a": torch.randn(3, 4), "n": torch.tensor(5), "none": torch.empty(0)}
    run.save(state, tensors)
    again, found = run.restore()
    run.close()
    assert again == state
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


@pytest.mark.parametrize("fails", range(1, 16))
def test_a_full_disk_keeps_the_checkpoint_and_the_run_goes_on(tmp_path, monkeypatch, fails):
    """The nth flush of a file fails, as on a full disk; the folder is as before that write."""
    own_recipe = recipe(ema=0.9)
    whole = run_training(tmp_path / "whole", own_recipe)
    folder = tmp_path / "run"
    plain, calls = os.fsync, []

    def full(handle):
        import stat

        if stat.S_ISREG(os.fstat(handle).st_mode):
            calls.append(1)
            if len(calls) == fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(handle)

    monkeypatch.setattr(os, "fsync", full)
    run = Run(folder)
    with pytest.raises(TortieError, match="No space left on device") as stopped:
        run.begin({"precision": "float32", "activations": "none"}, [])
        train(network(), data(), own_recipe, examples.config(), run, lambda *_: 0, lambda _: 0)
    run.close()
    monkeypatch.undo()
    assert not list(folder.glob(".*.part"))
    begun = (folder / "run.json").exists()
    assert begun == (fails > 2)  # the list of photographs and the description come first
    assert ("--resume goes on" in str(stopped.value)) == begun
    assert_same(run_training(folder, own_recipe), whole)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TortieError, match=r"cannot write .*: Not a directory"):
        Run(tmp_path / "file" / "pets.run")
    with pytest.raises(TortieError, match=r"cannot write .*: File exists"):
        Run(tmp_path / "file")


def test_a_run_that_does_not_last_promises_nothing(tmp_path):
    run = Run(tmp_path / "run", lasting=False)
    assert "nothing is kept" in run.resume_hint
    assert run.last is None
    with pytest.raises(KeyboardInterrupt), run.told():  # not begun: there is nothing to go on with
        raise KeyboardInterrupt
    run.begin(DOCUMENT, PHOTOGRAPHS)
    with pytest.raises(TortieError, match="stopped; nothing is kept"), run.told():
        raise KeyboardInterrupt
    run.close()
