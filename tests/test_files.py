"""Files are old or new, together or not at all; links, other files and other processes are safe."""

import os
import signal
import threading

import pytest

from tortie import files
from tortie.errors import TortieError, TortieWarning, UsageError
from tortie.files import check_output, is_leftover, open_lock, open_regular, replacing, together

NAMES = ("a.safetensors", "a.split.csv", "a.report.html")


def write(folder, content, names=NAMES, may_replace=False):
    with together(may_replace=may_replace):
        for name in names:
            with replacing(folder / name) as file:
                file.write(content)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(b"another's")
    with pytest.raises(TortieError, match=r"a\.safetensors was written meanwhile"):
        write(tmp_path, b"mine")
    assert names_in(tmp_path) == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").read_bytes() == b"another's"
    write(tmp_path, b"mine", may_replace=True)
    assert names_in(tmp_path) == sorted(NAMES)
    assert {(tmp_path / name).read_bytes() for name in NAMES} == {b"mine"}


def test_a_failure_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), together(may_replace=False):
        with replacing(tmp_path / "a") as file:
            file.write(b"1")
        raise ZeroDivisionError
    assert names_in(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize(
    ("call", "links"),
    [("link", True), ("unlink", True), ("fsync", True), ("replace", True),
     ("link", False), ("unlink", False), ("fsync", False), ("replace", False)],
)  # fmt: skip
def test_a_kill_at_every_call_lets_the_same_command_go_on(tmp_path, monkeypatch, call, links):
    """Killed before and after the nth call: what is there is no reason to refuse."""
    may_replace = call == "replace" and links
    if not links:  # a file system that has none
        monkeypatch.setattr(os, "link", _no_links)
    for number in range(1, 9):
        for after in (False, True):
            folder = tmp_path / f"{call}{number}{after}"
            folder.mkdir()
            child = os.fork()
            if child == 0:
                try:
                    _die_at(call, number, after)
                    write(folder, b"killed", may_replace=may_replace)
                finally:
                    os._exit(0)
            status = os.waitpid(child, 0)[1]
            if not os.WIFSIGNALED(status):
                assert {(folder / name).read_bytes() for name in NAMES} == {b"killed"}
                continue
            whole = all((folder / name).exists() for name in NAMES)
            if not whole:
                for name in NAMES:
                    check_output(folder / name, may_replace=may_replace)
                write(folder, b"again", may_replace=may_replace)
                assert names_in(folder) == sorted(NAMES)
                assert {(folder / name).read_bytes() for name in NAMES} == {b"again"}


def _no_links(*arguments, **more):
    raise PermissionError(1, "Operation not permitted")


def test_a_file_of_somebody_else_is_no_leftover_beside_a_mark(tmp_path):
    """The mark names the file by its length and its time: another one stays where it is."""
    (tmp_path / ".a.0.part").write_bytes(b"placed 6 bytes of 5")
    (tmp_path / "a").write_bytes(b"theirs")
    assert not is_leftover(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(5, 5))
    assert is_leftover(tmp_path / "a")


def _die_at(call, number, after):
    own, calls = getattr(os, call), []

    def dying(*arguments, **more):
        calls.append(call)
        if len(calls) == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = own(*arguments, **more)
        if len(calls) == number and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(os, call, dying)


def test_without_hard_links_a_file_is_created_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", _no_links)
    write(tmp_path, b"mine")
    assert names_in(tmp_path) == sorted(NAMES)
    with pytest.raises(TortieError, match="was written meanwhile"):
        write(tmp_path, b"other")
    assert {(tmp_path / name).read_bytes() for name in NAMES} == {b"mine"}


def test_of_many_at_once_one_creates_the_files(tmp_path):
    won, barrier = [], threading.Barrier(8)

    def run(number):
        barrier.wait()
        try:
            write(tmp_path, str(number).encode())
            won.append(number)
        except TortieError:
            pass

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert {(tmp_path / name).read_bytes() for name in NAMES} == {str(won[0]).encode()}
    assert names_in(tmp_path) == sorted(NAMES)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "a").symlink_to("theirs")
    with pytest.raises(UsageError, match="exists"):
        check_output(tmp_path / "a", may_replace=False)
    with replacing(tmp_path / "a") as file:
        file.write(b"mine")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert not (tmp_path / "a").is_symlink()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(TortieError, match="written meanwhile"):
        write(tmp_path, b"mine", names=("dangling",))
    assert not (tmp_path / "nowhere").exists()


def test_a_lock_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / ".lock").symlink_to("theirs")
    with pytest.raises(OSError, match=r"symbolic|links"):
        open_lock(tmp_path / ".lock")
    os.link(tmp_path / "theirs", tmp_path / "other.lock")
    open_lock(tmp_path / "other.lock").close()
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_bad_outputs_are_found_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "list.csv").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    wrong = [
        (tmp_path / "folder", "is a folder"),
        (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "nowhere" / "a", "no folder .*nowhere to write a into: make it first"),
        (tmp_path / "list.csv" / "a", "cannot write .*Not a directory"),
        (tmp_path / "list.csv", "is an input of this command"),
        (tmp_path / "pipe", "is a device or a pipe"),
    ]
    for path, message in wrong:
        with pytest.raises(UsageError, match=message):
            check_output(path, may_replace=True, inputs=[tmp_path / "list.csv"])
    check_output(tmp_path / ("x" * 255))  # as long as the file system takes
    assert names_in(tmp_path) == ["folder", "list.csv", "pipe"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(tmp_path / "a")
    tmp_path.chmod(0o700)


def test_what_a_kill_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    (tmp_path / ".a.0123abcd.part").write_bytes(b"left")
    with replacing(tmp_path / "a") as slow:
        slow.write(b"slow")
        thread = threading.Thread(target=write, args=(tmp_path, b"quick", ("a",), True))
        thread.start()
        thread.join()
        assert (tmp_path / "a").read_bytes() == b"quick"
    assert (tmp_path / "a").read_bytes() == b"slow"
    assert names_in(tmp_path) == ["a"]


def test_a_drive_that_cannot_flush_a_folder_gets_a_note(tmp_path, monkeypatch):
    flush = os.fsync

    def refuse(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(22, "Invalid argument")
        flush(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_warned_drives", set())
    with pytest.warns(TortieWarning, match=r"Invalid argument.*it is written") as said:
        write(tmp_path, b"mine")
        write(tmp_path, b"again", may_replace=True)
    assert len(said) == 1
    assert names_in(tmp_path) == sorted(NAMES)


def test_a_pipe_is_refused_and_not_awaited(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe or a device"):
        open_regular(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_permissions_are_those_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path, b"mine", names=("a",))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_another_user_wrote_is_no_leftover(tmp_path):
    (tmp_path / "a").write_bytes(b"theirs")
    (tmp_path / ".a.0123abcd.part").write_bytes(b"left")
    assert not is_leftover(tmp_path / "a")
    with pytest.raises(UsageError, match="exists: --force"):
        check_output(tmp_path / "a", may_replace=False)
