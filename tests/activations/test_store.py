"""The store against what was put: an entry is what it was, or it is missing."""

import contextlib
import os
import sqlite3
import stat
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.activations import database, limit
from tortie.activations import store as store_file
from tortie.activations.store import ActivationStore
from tortie.errors import TortieError

LARGE = 10**9


def numbered(number):
    return number.to_bytes(32, "big")


def vector(number, length=16):
    return np.full(length, number, np.float32)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def store(tmp_path, notes):
    with ActivationStore(tmp_path / "store", LARGE, notes.append) as opened:
        yield opened
    assert notes == [] or "expected" in notes


def fill(store, numbers, length=16):
    with store.writer() as writer:
        for number in numbers:
            assert writer.put(numbered(number), vector(number, length))


def found(store, numbers, length=16):
    """The numbers that are found; fails where an array is not the one that was put."""
    arrays = store.get_many([numbered(number) for number in numbers])
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, vector(int.from_bytes(key, "big"), length))
    return sorted(int.from_bytes(key, "big") for key in arrays)


def on_disk(store):
    """Oracle of the size: what lies in the folder."""
    return sum(path.stat().st_size for path in store.root.iterdir())


@contextlib.contextmanager
def changed(root):
    """The database, for a test that changes it behind the store's back."""
    connection = sqlite3.connect(root / database.NAME)
    with connection:
        yield connection
    connection.close()


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    np.arange(4, dtype=np.uint16),  # the bits of bfloat16
    np.frombuffer(b'{"width":3}', np.uint8),
    np.array(1.5, np.float16),
    np.zeros((0, 7), np.float32),
    np.arange(100_000, dtype=np.float32).reshape(10, 10_000),  # larger than a part
    np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    np.arange(12, dtype=np.float32)[::2],
]


def test_round_trip(store, tmp_path):
    keys = [numbered(i) for i in range(len(ARRAYS))]
    with store.writer() as writer:
        for key, array in zip(keys, ARRAYS, strict=True):
            assert writer.put(key, array)
    with ActivationStore(tmp_path / "store", LARGE) as other:
        got = other.get_many([*keys, numbered(99)])
        assert other.contains_many([*keys, numbered(99)]) == set(keys)
    assert set(got) == set(keys)
    for key, array in zip(keys, ARRAYS, strict=True):
        assert got[key].dtype == array.dtype
        np.testing.assert_array_equal(got[key], array, strict=True)
        got[key][...] = 0  # a copy of its own, that may be written
    assert store.get_many([]) == {}


def test_what_was_put_may_change_afterwards(store):
    array = vector(1)
    with store.writer() as writer:
        writer.put(numbered(1), array)
        array[:] = 7
    assert found(store, [1]) == [1]


@pytest.mark.parametrize("dtype", ["f8", "i4", ">f4", "O"])
def test_other_types_are_refused(store, dtype):
    with store.writer() as writer, pytest.raises(TypeError, match="the store keeps"):
        writer.put(numbered(1), np.zeros(3, dtype))


@pytest.mark.parametrize("length", [16, 40_000])
def test_get_into_fills_rows_in_the_order_asked_for(store, length):
    fill(store, range(50), length)
    asked = [7, 99, 3, 7, 98, 49, 99, 3]
    out = np.full((len(asked), length), -1, np.float32)
    filled = store.get_into([numbered(number) for number in asked], out)
    assert filled.tolist() == [True, False, True, True, False, True, False, True]
    expected = [[n if n < 50 else -1] * length for n in asked]
    np.testing.assert_array_equal(out, np.array(expected, np.float32))
    assert store.get_into([], np.zeros((0, 16), np.float32)).shape == (0,)


def test_a_row_of_another_type_or_shape_counts_as_missing(store):
    fill(store, [1])
    for wrong in (
        np.zeros((1, 8), np.float32),
        np.zeros((1, 4, 4), np.float32),
        np.zeros((1, 32), np.uint16),
    ):
        assert not store.get_into([numbered(1)], wrong).any()
        assert not wrong.any()


def test_more_keys_than_a_statement_takes(store):
    fill(store, range(3000), 1)
    keys = [numbered(i) for i in range(0, 6000, 2)]
    assert len(store.contains_many(keys)) == 1500
    out = np.zeros((3000, 1), np.float32)
    assert store.get_into(keys, out).sum() == 1500
    np.testing.assert_array_equal(out[:1500, 0], np.arange(0, 3000, 2))


def test_others_see_what_is_committed(store, tmp_path, monkeypatch):
    with ActivationStore(tmp_path / "store", LARGE) as other, store.writer() as writer:
        writer.put(numbered(1), vector(1))
        assert found(other, [1]) == []
        writer.commit()
        assert found(other, [1]) == [1]
        writer.put(numbered(2), vector(2))
        monkeypatch.setattr(store_file, "_COMMIT_SECONDS", 0)
        writer.put(numbered(3), vector(3))
        assert found(other, [1, 2, 3]) == [1, 2, 3]
        monkeypatch.setattr(store_file, "_COMMIT_SECONDS", 60)
        monkeypatch.setattr(store_file, "_COMMIT_BYTES", 1)
        writer.put(numbered(4), vector(4))
        assert found(other, [4]) == [4]


def test_what_was_put_before_an_error_is_kept(store):
    with pytest.raises(KeyboardInterrupt), store.writer() as writer:
        writer.put(numbered(1), vector(1))
        raise KeyboardInterrupt
    assert found(store, [1]) == [1]
    assert not writer.put(numbered(2), vector(2))


def test_a_batch_is_kept_as_a_whole_or_not_at_all(tmp_path, monkeypatch, notes):
    # A stop between the first of a batch's rows and the last.
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        fill(store, [1])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(store_file.zlib, "crc32", interrupted)
            fill(store, [2, 3])
        assert found(store, range(5)) == [1]
        fill(store, [4])
        assert found(store, range(5)) == [1, 4]
    assert notes == []


def test_the_same_key_twice_is_harmless(store, tmp_path):
    with ActivationStore(tmp_path / "store", LARGE) as other:
        with store.writer() as one, other.writer() as two:
            for writer in (one, two, one):
                assert writer.put(numbered(1), vector(1))
        assert found(store, [1]) == found(other, [1]) == [1]
    assert store.usage().entries == 1


@pytest.mark.parametrize("length", [16, 40_000], ids=["within a page", "over many pages"])
def test_a_flipped_byte_costs_its_entry_alone(tmp_path, length):
    # Of the payload and its description; what holds them together is tested below.
    for byte in (0, 1, 2, 3, 30, 4 * length - 1):
        with ActivationStore(tmp_path, LARGE) as store:
            store.clear()
            fill(store, range(3), length)
        data = bytearray((tmp_path / database.NAME).read_bytes())
        payload = vector(1, length).tobytes()
        # Pages of an overflowing payload lie one after another, each after four bytes of a pointer.
        start = data.find(payload[:64])
        data[start + min(byte, 64 if length > 16 else byte)] ^= 1 << byte % 8
        (tmp_path / database.NAME).write_bytes(data)
        with ActivationStore(tmp_path, LARGE) as store:
            assert found(store, range(3), length) == [0, 2]
            assert store.contains_many([numbered(1)]) == set()  # dropped: it is put again
            fill(store, [1], length)
            assert found(store, range(3), length) == [0, 1, 2]
            rows = np.zeros((3, length), np.float32)
            assert store.get_into([numbered(i) for i in range(3)], rows).all()


def test_a_checksum_covers_key_type_and_shape(store):
    fill(store, range(6))
    with changed(store.root) as connection:
        rows = dict(connection.execute("SELECT key, id FROM entries"))
        first = rows[numbered(0)]
        set_form = "UPDATE entries SET form = ? WHERE id = ?"
        connection.execute(set_form, (b"<f4 4 4", first))
        connection.execute(set_form, (b"<u2 32", first + 1))
        connection.execute(set_form, (7, first + 2))
        connection.execute("UPDATE entries SET payload = 'text' WHERE id = ?", (first + 3,))
        connection.execute("UPDATE entries SET key = ? WHERE id = ?", (numbered(77), first + 4))
    assert found(store, [*range(6), 77]) == [5]
    assert not store.get_into([numbered(77)], np.zeros((1, 16), np.float32)).any()


def overwrite(path, start, data):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def truncate(path, size):
    os.truncate(path, size)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"garbage" * 10_000),
        lambda path: overwrite(path, 0, bytes(4096)),
        lambda path: overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096)),
        lambda path: overwrite(path, 18, b"\x03"),  # written by a later SQLite: read-only
        lambda path: overwrite(path, 16, b"\x10\x00"),  # another page size
        lambda path: overwrite(path, 52, bytes(4)),  # no incremental vacuum
        lambda path: path.write_bytes(path.read_bytes().replace(b"CREATE", b"CRE\xffTE")),
        lambda path: path.write_bytes(path.read_bytes().replace(b"batches (", b"butches (")),
        lambda path: truncate(path, 40_000),
    ],
    ids=[
        "garbage", "no header", "no pages", "version", "page size", "vacuum", "schema no UTF-8",
        "other tables", "truncated",
    ],
)  # fmt: skip
@pytest.mark.parametrize("reopen", [True, False], ids=["closed", "open"])
def test_a_damaged_file_is_set_aside_and_begun_anew(tmp_path, damage, reopen, notes):
    store = ActivationStore(tmp_path, LARGE, notes.append)
    fill(store, range(3000))
    store.close()  # moves the log into the database
    if not reopen:
        assert found(store, [5]) == [5]
    damage(tmp_path / database.NAME)
    with ActivationStore(tmp_path, LARGE, notes.append) if reopen else store as again:
        # An open connection may serve what it still holds; nothing that is found is wrong.
        found(again, range(3000))
        fill(again, range(3000, 3010))
        assert set(found(again, range(3010))) >= set(range(3000, 3010))
    store.close()
    with ActivationStore(tmp_path, LARGE, notes.append) as last:
        assert set(found(last, range(3010))) >= set(range(3000, 3010)) if reopen else True
        fill(last, range(20))
        assert found(last, range(20)) == list(range(20))
    if reopen:
        assert len(notes) == 1
        assert "was damaged" in notes[0]
        assert "\n" not in notes[0]
        assert (tmp_path / f"{database.NAME}.damaged").exists()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_flipped_byte_costs_entries_and_gives_none_that_is_wrong(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("store")
    notes = []
    with ActivationStore(root, LARGE, notes.append) as store:
        fill(store, range(40), 300)
    path = root / database.NAME
    content = path.read_bytes()
    used = [page for page in range(0, len(content), 4096) if any(content[page : page + 4096])]
    position = data.draw(st.sampled_from(used)) + data.draw(st.integers(0, 4095))
    if data.draw(st.booleans()):
        position = data.draw(st.integers(0, 1000))  # the header and the schema
    overwrite(path, position, bytes([content[position] ^ data.draw(st.integers(1, 255))]))
    with ActivationStore(root, LARGE, notes.append) as store:
        found(store, range(40), 300)
        fill(store, range(80), 300)
    with ActivationStore(root, LARGE, notes.append) as store:
        found(store, range(80), 300)
        fill(store, range(80), 300)
        assert store.off is None
    assert all("was damaged" in note for note in notes), notes


def test_usage_and_clear(store):
    assert store.usage().entries == 0
    fill(store, range(1000), 100)
    usage = store.usage()
    assert (usage.entries, usage.path, usage.limit) == (1000, store.root, LARGE)
    assert usage.bytes == on_disk(store) > 1000 * 400
    freed = store.clear()
    assert store.usage().entries == 0
    assert store.usage().bytes == usage.bytes - freed == on_disk(store)
    assert freed > 1000 * 400
    assert found(store, range(10)) == []
    fill(store, [1])
    assert found(store, [1]) == [1]


def test_clear_leaves_what_is_not_the_stores(store):
    mine = store.root / "holiday.jpg"
    mine.write_bytes(b"x")
    store.clear()
    assert mine.exists()


def test_clear_removes_what_was_set_aside(tmp_path, notes):
    (tmp_path / database.NAME).write_bytes(b"garbage" * 1000)
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        assert (tmp_path / f"{database.NAME}.damaged").exists()
        assert store.clear() >= 7000
        assert not (tmp_path / f"{database.NAME}.damaged").exists()


def test_clear_while_another_writes(store, tmp_path):
    with ActivationStore(tmp_path / "store", LARGE) as other:
        with store.writer() as writer:
            writer.put(numbered(1), vector(1))
            writer.commit()
            writer.put(numbered(2), vector(2))
            other.clear()
            assert found(store, [1]) == []
            writer.put(numbered(3), vector(3))
        assert found(other, [1, 2, 3]) == [2, 3]


def test_clear_during_reading(store):
    # Whatever is read between is either right or missing; `found` checks the values.
    stop, seen, errors = threading.Event(), [], []

    def reading():
        try:
            while not stop.is_set():
                seen.append(len(found(store, range(300), 200)))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=reading)
    thread.start()
    for _ in range(5):
        fill(store, range(300), 200)
        store.clear()
    stop.set()
    thread.join()
    assert errors == []
    assert found(store, range(300), 200) == []
    assert set(seen) <= set(range(301))


def test_a_folder_that_vanishes_is_made_again(store):
    fill(store, range(3))
    for path in store.root.iterdir():
        path.unlink()
    store.root.rmdir()
    assert found(store, range(3)) == []
    fill(store, [1])
    assert found(store, range(3)) == [1]


def test_a_folder_that_vanishes_while_a_writer_writes(store):
    with store.writer() as writer:
        writer.put(numbered(1), vector(1))
        writer.commit()
        for path in store.root.iterdir():
            path.unlink()
        writer.put(numbered(2), vector(2))
    assert found(store, range(3)) == [2]


def test_threads_share_a_store(store):
    errors = []

    def work(first):
        try:
            for number in range(first, first + 100):
                writer.put(numbered(number), vector(number))
                if number % 10 == 0:
                    writer.commit()
                    assert found(store, [number]) == [number]
        except BaseException as error:
            errors.append(error)

    with store.writer() as writer:
        threads = [threading.Thread(target=work, args=(i * 100,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert found(store, range(500)) == list(range(400))


# Entries of 100,000 bytes, each a batch of its own, in a store of 4 MB.
SMALL, FILLING = 4_000_000, 25_000


def age(store, order):
    """Sets the time of last use of the batches that hold these numbers, oldest first."""
    with changed(store.root) as connection:
        ids = dict(connection.execute("SELECT key, id FROM entries"))
        for seconds, number in enumerate(order):
            place = (seconds, ids[numbered(number)] >> database.BATCH_SHIFT)
            connection.execute("UPDATE batches SET used = ? WHERE id = ?", place)


def test_the_entries_used_longest_ago_go_first(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, range(20), FILLING)
        assert found(store, range(20), FILLING) == list(range(20))
        age(store, [7, 3, 11, 1])
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        assert found(store, [7], FILLING) == [7]  # used again: no longer the oldest
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        number = 100
        while {3, 11, 1} & found_all(store):
            fill(store, [number], FILLING)
            number += 1
        kept = found_all(store)
        gone = set(range(20)) - kept
        assert {3, 11, 1} <= gone
        assert len(gone) <= 6  # what one step took beyond
        assert 7 in kept
        assert all(n in kept for n in range(100, number))
    assert notes == []


def found_all(store):
    """The numbers that are there, without using them."""
    with changed(store.root) as connection:
        return {
            int.from_bytes(key, "big") for (key,) in connection.execute("SELECT key FROM entries")
        }


def test_the_limit_holds_at_every_moment(tmp_path):
    most = 0
    for first in range(0, 200, 20):
        with ActivationStore(tmp_path, SMALL) as store, store.writer() as writer:
            for number in range(first, first + 20):
                assert writer.put(numbered(number), vector(number, FILLING))
                most = max(most, on_disk(store))
        assert found(store, range(first, first + 20), FILLING) == list(range(first, first + 20))
    assert SMALL / 2 < most <= SMALL


def test_a_run_larger_than_the_limit_stores_what_fits_and_does_not_thrash(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, [1000], FILLING)
    kept = None
    for _ in range(2):
        with ActivationStore(tmp_path, SMALL, notes.append) as store:
            keys = [numbered(number) for number in range(60)]
            missing = sorted(set(keys) - store.contains_many(keys))
            with store.writer() as writer:
                stored = [
                    writer.put(key, vector(int.from_bytes(key, "big"), FILLING)) for key in missing
                ]
            assert writer.full
            assert on_disk(store) <= SMALL
            now = found(store, range(60), FILLING)
            if kept is None:
                assert len(now) == sum(stored) > 20
                assert found(store, [1000], FILLING) == []  # not of this run: gone
                kept = now
            assert now == kept  # the second run finds all that the first one kept
    assert len(notes) == 2
    assert "is full (limit 4 MB)" in notes[0]
    assert "TORTIE_CACHE_LIMIT" in notes[0]


def test_an_entry_larger_than_the_limit_evicts_nothing(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, range(10), FILLING)
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(99), vector(1, 1_500_000))
            assert writer.full
        assert found(store, range(10), FILLING) == list(range(10))
    assert len(notes) == 1


def test_what_a_live_writer_wrote_is_not_evicted(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL) as store, store.writer() as writer:
        for number in range(12):
            writer.put(numbered(number), vector(number, FILLING))
        with ActivationStore(tmp_path, SMALL, notes.append) as other, other.writer() as second:
            for number in range(100, 140):
                second.put(numbered(number), vector(number, FILLING))
            assert second.full
        assert found(store, range(12), FILLING) == list(range(12))
    assert len(notes) == 1
    with ActivationStore(tmp_path, SMALL, notes.append) as other:  # the writer has ended
        fill(other, range(200, 210), FILLING)
    assert len(notes) == 1


def test_a_clock_that_was_wrong_holds_nothing_for_ever(tmp_path):
    with ActivationStore(tmp_path, SMALL) as store:
        fill(store, range(20), FILLING)
        with changed(store.root) as connection:
            connection.execute("UPDATE batches SET used = ?", (2**40,))
    with ActivationStore(tmp_path, SMALL) as store:
        fill(store, range(100, 120), FILLING)


def test_a_lower_limit_gives_the_space_back(tmp_path, notes):
    with ActivationStore(tmp_path, LARGE) as store:
        fill(store, range(60), 100_000)
        fill(store, range(100, 20_000), 1)
        assert on_disk(store) > 24_000_000
    with ActivationStore(tmp_path, 3_000_000, notes.append) as store:
        fill(store, [20_000], 1)
        assert found(store, [20_000], 1) == [20_000]
        assert on_disk(store) <= 3_000_000
    assert notes == []


def test_what_was_set_aside_counts_and_goes_first(tmp_path, notes):
    (tmp_path / database.NAME).write_bytes(b"garbage" * 500_000)
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, range(20), FILLING)
        assert on_disk(store) <= SMALL
    assert len(notes) == 1


def test_many_small_entries_keep_to_the_limit(tmp_path):
    for first in range(0, 100_000, 10_000):
        with ActivationStore(tmp_path, SMALL) as store:
            fill(store, range(first, first + 10_000), 8)
            assert on_disk(store) <= SMALL
    assert store.usage().entries > 10_000


def test_limit_zero_stores_nothing(tmp_path, notes):
    with ActivationStore(tmp_path, 0, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(1), vector(1))
        assert found(store, [1]) == []
    assert notes == []


@pytest.mark.parametrize("message", ["database or disk is full", "disk I/O error"])
def test_a_full_disk_ends_storing_and_nothing_else(store, notes, monkeypatch, message):
    def full(*arguments):
        raise sqlite3.OperationalError(message)

    fill(store, [1])
    with monkeypatch.context() as patch, store.writer() as writer:
        patch.setattr(limit, "excess", full)
        assert writer.put(numbered(2), vector(2))
        writer.commit()
        assert writer.full
        assert not writer.put(numbered(3), vector(3))
    assert notes == [f"cannot write to the activation store {store.root}: {message}"]
    assert found(store, range(4)) == [1]
    fill(store, [2])  # there is room again
    assert found(store, range(4)) == [1, 2]
    notes.append("expected")


def test_a_folder_that_cannot_be_used_is_said_once(tmp_path, notes):
    # A file in the folder's place: root's rights do not open it.
    root = tmp_path / "file"
    root.write_text("not a folder")
    with ActivationStore(root, LARGE, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(1), vector(1))
        assert writer.full
        assert store.is_empty
        assert store.contains_many([numbered(1)]) == set()
        assert store.get_many([numbered(1)]) == {}
        assert not store.get_into([numbered(1)], np.zeros((1, 16), np.float32)).any()
        assert store.off == notes[0]
        for refused in (store.usage, store.clear):
            with pytest.raises(TortieError, match="cannot open the activation store"):
                refused()
    assert len(notes) == 1
    assert root.read_text() == "not a folder"


def test_a_database_that_cannot_be_opened_is_said_once(tmp_path, notes):
    (tmp_path / database.NAME).mkdir()
    with ActivationStore(tmp_path, LARGE, notes.append) as store, store.writer() as writer:
        assert not writer.put(numbered(1), vector(1))
    assert len(notes) == 1
    assert "unable to open database file" in notes[0]


def test_reading_trouble_counts_as_missing_and_is_said_once(store, notes, monkeypatch):
    fill(store, range(3))

    def broken(connection, keys, what):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store, "_locate", broken)
    assert found(store, range(3)) == found(store, range(3)) == []
    assert len(notes) == 1
    assert "Input/output error" in notes[0]
    notes.append("expected")


def test_the_folder_is_its_owners_alone(tmp_path):
    with ActivationStore(tmp_path / "cache" / "activations", LARGE) as store:
        fill(store, [1])
    for folder in (tmp_path / "cache", tmp_path / "cache" / "activations"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_that_another_user_laid_is_not_followed(tmp_path, notes, monkeypatch):
    target, folder = tmp_path / "target", tmp_path / "cache" / "activations"
    target.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(target)
    with ActivationStore(folder, LARGE, notes.append) as store:
        fill(store, [1])  # one's own link is
    assert notes == []
    monkeypatch.setattr(os, "geteuid", lambda: folder.lstat().st_uid + 1)
    if folder.lstat().st_uid == 0:
        os.lchown(folder, 12345, 12345)
    with ActivationStore(folder, LARGE, notes.append) as store, store.writer() as writer:
        assert not writer.put(numbered(2), vector(2))
    assert len(notes) == 1
    assert "is a link, which is not followed: remove it" in notes[0]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
def test_a_link_in_the_files_place_is_not_followed(tmp_path, notes, suffix):
    other = tmp_path / "other"
    with changed(tmp_path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    os.rename(tmp_path / database.NAME, other)
    before = other.read_bytes()
    root = tmp_path / "store"
    root.mkdir()
    (root / f"{database.NAME}{suffix}").symlink_to(other)
    with ActivationStore(root, LARGE, notes.append) as store, store.writer() as writer:
        writer.put(numbered(1), vector(1))
        writer.commit()
    assert other.read_bytes() == before
    assert len(notes) <= 1


def test_another_layouts_files_are_left_alone(tmp_path, notes):
    (tmp_path / "segment-1.bin").write_bytes(b"of the past")
    (tmp_path / "store-2.sqlite").write_bytes(b"of the future")
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        fill(store, [1])
        store.clear()
    assert (tmp_path / "segment-1.bin").read_bytes() == b"of the past"
    assert (tmp_path / "store-2.sqlite").read_bytes() == b"of the future"
    assert notes == []
