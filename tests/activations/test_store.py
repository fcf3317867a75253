import os
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.activations import segments
from tortie.activations import writer as writer_file
from tortie.activations.index import Index
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
    assert notes == [] or opened.off or "expected" in notes


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


def segment_files(store):
    return sorted(store.root.glob("segment-*.bin"))


def remove_index(store):
    for path in store.root.glob("index.sqlite*"):
        path.unlink()


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    np.arange(4, dtype=np.uint16),  # the bits of bfloat16
    np.frombuffer(b'{"width":3}', np.uint8),
    np.array(1.5, np.float16),
    np.zeros((0, 7), np.float32),
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
    assert store.get_many([]) == {}


def test_get_into_fills_rows_in_the_order_asked_for(store):
    fill(store, range(50))
    asked = [7, 99, 3, 7, 98, 49, 99, 3]
    out = np.full((len(asked), 16), -1, np.float32)
    filled = store.get_into([numbered(number) for number in asked], out)
    assert filled.tolist() == [True, False, True, True, False, True, False, True]
    expected = [[n if n < 50 else -1] * 16 for n in asked]
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
        monkeypatch.setattr(writer_file, "_COMMIT_SECONDS", 0)
        writer.put(numbered(3), vector(3))
        assert found(other, [1, 2, 3]) == [1, 2, 3]
        monkeypatch.setattr(writer_file, "_COMMIT_SECONDS", 60)
        monkeypatch.setattr(writer_file, "_COMMIT_BYTES", 1000)
        fill_later = [4, 5, 6, 7, 8, 9, 10, 11, 12]  # 128 bytes each: committed at the eighth
        for number in fill_later:
            writer.put(numbered(number), vector(number))
        assert found(other, fill_later) == fill_later[:8]


def test_what_was_put_before_an_error_is_kept(store):
    with pytest.raises(KeyboardInterrupt), store.writer() as writer:
        writer.put(numbered(1), vector(1))
        raise KeyboardInterrupt
    assert found(store, [1]) == [1]
    assert not writer.put(numbered(2), vector(2))


def test_the_same_key_twice_is_harmless(store, tmp_path):
    with ActivationStore(tmp_path / "store", LARGE) as other:
        with store.writer() as one, other.writer() as two:
            for writer in (one, two, one):
                assert writer.put(numbered(1), vector(1))
        assert found(store, [1]) == found(other, [1]) == [1]
    assert store.usage().entries == 1
    assert sum(path.stat().st_size for path in segment_files(store)) == 2 * 128  # once a writer


@pytest.mark.parametrize("lose_index", [False, True])
def test_truncated_at_every_byte_all_earlier_entries_are_read(tmp_path, lose_index):
    sizes = []
    with ActivationStore(tmp_path, LARGE) as store:
        for number in range(4):
            fill(store, [number], 3)
            (path,) = segment_files(store)
            sizes.append(path.stat().st_size)
        data = path.read_bytes()
    for length in range(sizes[1], len(data)):
        path.write_bytes(data[:length])
        whole = [number for number in range(4) if sizes[number] <= length]
        with ActivationStore(tmp_path, LARGE) as store:
            if lose_index:
                remove_index(store)
            assert found(store, range(4), 3) == whole
            assert store.contains_many([numbered(i) for i in range(4)]) == {
                numbered(i) for i in whole
            }


def test_after_a_torn_tail_the_segment_grows_again(store):
    fill(store, [1, 2])
    (path,) = segment_files(store)
    path.write_bytes(path.read_bytes()[:-1])
    store.close()
    fill(store, [3, 4])
    assert segment_files(store) == [path]
    assert found(store, range(6)) == [1, 3, 4]
    remove_index(store)
    assert found(store, range(6)) == [1, 3, 4]


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 127), change=st.integers(1, 255), lose_index=st.booleans())
def test_a_flipped_byte_costs_its_entry_alone(tmp_path_factory, position, change, lose_index):
    root = tmp_path_factory.mktemp("store")
    with ActivationStore(root, LARGE) as store:
        fill(store, range(3))
        (path,) = segment_files(store)
        data = bytearray(path.read_bytes())
        assert len(data) == 3 * 128  # 64 of head and dimension, 64 of payload
        data[128 + position] ^= change
        path.write_bytes(data)
        if lose_index:
            remove_index(store)
        assert found(store, range(3)) == [0, 2]
        assert store.contains_many([numbered(1)]) == set()  # dropped, so that it is put again
        fill(store, [1])
        assert found(store, range(3)) == [0, 1, 2]


def overwrite(path, start, data):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 1000),
        lambda path: overwrite(path, 0, bytes(4096)),
        lambda path: overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096)),
        lambda path: os.truncate(path, 5000),
    ],
    ids=["deleted", "empty", "garbage", "no header", "no pages", "truncated"],
)
@pytest.mark.parametrize("reopen", [True, False], ids=["closed", "open"])
def test_a_lost_index_is_rebuilt(tmp_path, damage, reopen):
    store = ActivationStore(tmp_path, LARGE)
    fill(store, range(200))
    index = tmp_path / "index.sqlite"
    store.close()  # moves the write-ahead log into the index
    if not reopen:
        assert found(store, [5]) == [5]
    damage(index)
    with ActivationStore(tmp_path, LARGE) if reopen else store as store:
        # An open connection may serve pages that it still holds; what matters: nothing is lost.
        assert found(store, range(200)) == list(range(200))
        fill(store, range(200, 210))
        store.close()
        assert found(store, range(210)) == list(range(210))
    store.close()


def test_tables_of_another_tortie_are_built_anew(store):
    fill(store, range(5))
    store.close()
    connection = sqlite3.connect(store.root / "index.sqlite")
    connection.execute("DROP TABLE segments")
    connection.execute("CREATE TABLE segments (something_else TEXT)")
    connection.execute("PRAGMA user_version = 77")
    connection.commit()
    connection.close()
    assert found(store, range(5)) == list(range(5))


def test_an_index_that_lies_costs_only_entries(store):
    fill(store, range(5))
    store.close()
    connection = sqlite3.connect(store.root / "index.sqlite")
    with connection:
        connection.execute("UPDATE entries SET offset = offset + 1 WHERE key = ?", (numbered(0),))
        connection.execute("UPDATE entries SET length = 1 << 60 WHERE key = ?", (numbered(1),))
        connection.execute("UPDATE entries SET offset = 0 WHERE key = ?", (numbered(2),))
        connection.execute("UPDATE entries SET segment = 99 WHERE key = ?", (numbered(3),))
    connection.close()
    assert found(store, range(5)) == [4]


def test_what_was_written_and_not_indexed_is_found(tmp_path, monkeypatch, notes):
    # A kill between the write and the index, in the same process.
    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        fill(store, [1])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Index, "add", interrupted)
            fill(store, [2, 3])
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        assert found(store, range(5)) == [1, 2, 3]
    assert notes == []


def test_small_runs_share_a_segment(store):
    for number in range(20):
        fill(store, [number])
    assert len(segment_files(store)) == 1
    assert found(store, range(20)) == list(range(20))


def test_a_segment_that_grew_meanwhile_is_not_taken_over(store, monkeypatch):
    # Another process adopted it, wrote, and was killed, between our look at it and our lock.
    fill(store, [1])
    (path,) = segment_files(store)
    real = segments.OpenSegment.adopt

    def adopt(folder, name):
        path.write_bytes(path.read_bytes() + b"torn")
        return real(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(segments.OpenSegment, "adopt", adopt)
        fill(store, [2])
    assert len(segment_files(store)) == 2
    assert found(store, [1, 2]) == [1, 2]


def test_an_entry_stored_anew_is_not_dropped_for_the_old_one(store):
    # One process finds an entry broken; before it says so, another has stored it again.
    fill(store, [1])
    ((name, places),) = store._index.locate([numbered(1)]).items()
    store._index.drop(name, places)
    assert found(store, [1]) == []
    fill(store, [1])
    store._index.drop(name, places)
    assert found(store, [1]) == [1]


def test_usage_and_clear(store):
    assert store.usage().entries == 0
    fill(store, range(1000), 100)
    usage = store.usage()
    assert (usage.entries, usage.segments, usage.limit) == (1000, 1, LARGE)
    assert usage.path == store.root
    on_disk = sum(
        path.stat().st_size for path in [*segment_files(store), store.root / "index.sqlite"]
    )
    assert usage.bytes == on_disk
    assert on_disk > 1000 * 400
    freed = store.clear()
    assert store.usage().entries == 0
    assert store.usage().bytes == usage.bytes - freed
    assert segment_files(store) == []
    assert found(store, range(10)) == []
    fill(store, [1])
    assert found(store, [1]) == [1]


def test_clear_leaves_what_is_not_the_stores(store):
    mine = store.root / "holiday.jpg"
    mine.write_bytes(b"x")
    store.clear()
    assert mine.exists()


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
        other.close()
        remove_index(other)
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


def test_a_segment_that_vanishes_counts_as_missing(store):
    fill(store, range(3))
    segment_files(store)[0].unlink()
    assert store.contains_many([numbered(1)]) == set()
    assert store.usage().entries == 0
    fill(store, [1])
    assert found(store, range(3)) == [1]


def test_a_folder_that_vanishes_is_made_again(store):
    fill(store, range(3))
    for path in store.root.iterdir():
        path.unlink()
    store.root.rmdir()
    assert found(store, range(3)) == []
    fill(store, [1])
    assert found(store, range(3)) == [1]


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


def age(store, order):
    """Sets the time of last use of the segments that hold these numbers, oldest first."""
    for seconds, number in enumerate(order):
        (name,) = store._index.locate([numbered(number)])
        os.utime(store.root / name, (seconds, seconds))


# Segments of 100,000 bytes in a store of 1.6 MB; a vector of 25,000 numbers fills one.
SMALL, FILLING = 1_600_000, 25_000


def test_the_segments_used_longest_ago_go_first(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, range(15), FILLING)
        assert store.usage().segments == 15
        age(store, [7, 3, 11, 1])
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        assert found(store, [7], FILLING) == [7]  # used again: no longer the oldest
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, [100], FILLING)
        # 16 segments of 100,072 bytes and the index are 20 to 40 KB too much; a tenth of the limit
        # more makes 180 to 200 KB: two segments.
        assert found(store, range(15), FILLING) == [0, 1, 2, *range(4, 11), 12, 13, 14]
        assert found(store, [100], FILLING) == [100]
        assert store.usage().entries == 14
    assert notes == []


def test_the_limit_holds_at_every_moment(tmp_path):
    for first in range(0, 100, 10):
        with ActivationStore(tmp_path, SMALL) as store, store.writer() as writer:
            for number in range(first, first + 10):
                writer.put(numbered(number), vector(number, FILLING))
                assert store.usage().bytes <= SMALL
        assert found(store, range(first, first + 10), FILLING) == list(range(first, first + 10))


def test_a_run_larger_than_the_limit_stores_what_fits_and_does_not_thrash(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, [1000], FILLING)
    kept = None
    for _ in range(2):
        with ActivationStore(tmp_path, SMALL, notes.append) as store:
            keys = [numbered(number) for number in range(40)]
            missing = sorted(set(keys) - store.contains_many(keys))
            with store.writer() as writer:
                stored = [
                    writer.put(key, vector(int.from_bytes(key, "big"), FILLING)) for key in missing
                ]
            assert writer.full
            assert store.usage().bytes <= SMALL
            now = found(store, range(40), FILLING)
            if kept is None:
                assert len(now) == sum(stored) == 15
                assert found(store, [1000], FILLING) == []  # not of this run: gone
                kept = now
            assert now == kept  # the second run finds all that the first one kept
    assert len(notes) == 2
    assert "is full (limit 2 MB)" in notes[0]
    assert "TORTIE_CACHE_LIMIT" in notes[0]


def test_an_entry_larger_than_the_limit_evicts_nothing(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        fill(store, range(10), FILLING)
    with ActivationStore(tmp_path, SMALL, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(99), vector(1, 1_000_000))
            assert writer.full
        assert found(store, range(10), FILLING) == list(range(10))
    assert len(notes) == 1


def test_a_segment_being_written_is_not_evicted(tmp_path, notes):
    with ActivationStore(tmp_path, SMALL) as store, store.writer() as writer:
        for number in range(8):
            writer.put(numbered(number), vector(number, FILLING))
        writer.commit()
        age(store, range(8))
        with ActivationStore(tmp_path, SMALL, notes.append) as other, other.writer() as second:
            for number in range(100, 120):
                second.put(numbered(number), vector(number, FILLING))
            assert second.full
        assert found(store, range(8), FILLING) == list(range(8))
    assert len(notes) == 1


def test_the_index_shrinks_with_the_store(tmp_path):
    with ActivationStore(tmp_path, LARGE) as store:
        fill(store, range(20_000), 1)
    with ActivationStore(tmp_path, 1_000_000) as store:
        fill(store, [20_000], 1)
        assert found(store, [20_000], 1) == [20_000]
        assert store.usage().bytes <= 1_000_000


def test_a_full_disk_ends_storing_and_nothing_else(tmp_path, monkeypatch, notes):
    real, room = os.pwrite, [10_000]

    def full(descriptor, data, offset):
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        count = real(descriptor, data[: room[0]], offset)
        room[0] -= count
        return count

    monkeypatch.setattr(writer_file, "_COMMIT_BYTES", 1000)
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with store.writer() as writer:
                stored = [writer.put(numbered(number), vector(number)) for number in range(200)]
            assert writer.full
        # Eight entries of 128 bytes a commit; the tenth commit did not fit into 10,000 bytes.
        assert found(store, range(200)) == list(range(72))
        assert stored.count(True) == 79  # the one that found the disk full says so
        assert len(notes) == 1
        assert notes[0].endswith("No space left on device")
        assert segment_files(store)[0].stat().st_size == 72 * 128
        fill(store, [300])  # there is room again
        assert found(store, [71, 72, 300]) == [71, 300]
        remove_index(store)
        assert found(store, range(301)) == [*range(72), 300]


def test_a_full_disk_under_the_index(tmp_path, monkeypatch, notes):
    def full(self, *arguments):
        raise sqlite3.OperationalError("database or disk is full")

    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        with monkeypatch.context() as patch, store.writer() as writer:
            patch.setattr(Index, "add", full)
            writer.put(numbered(1), vector(1))
        assert writer.full
        assert notes == [
            f"cannot write to the activation store {tmp_path}: database or disk is full"
        ]
        assert found(store, [1]) == []
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        assert found(store, [1]) == [1]  # it was written, after all


def test_a_folder_that_cannot_be_used_is_said_once(tmp_path, notes):
    # A file in the folder's place: root's rights do not open it.
    root = tmp_path / "file"
    root.write_text("not a folder")
    with ActivationStore(root, LARGE, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(1), vector(1))
        assert writer.full
        assert store.contains_many([numbered(1)]) == set()
        assert store.get_many([numbered(1)]) == {}
        assert not store.get_into([numbered(1)], np.zeros((1, 16), np.float32)).any()
        assert store.off == notes[0]
        for refused in (store.usage, store.clear):
            with pytest.raises(TortieError, match="cannot use the activation store"):
                refused()
    assert len(notes) == 1
    assert root.read_text() == "not a folder"


def test_an_index_that_cannot_be_opened_is_said_once(tmp_path, notes):
    (tmp_path / "index.sqlite").mkdir()
    with ActivationStore(tmp_path, LARGE, notes.append) as store, store.writer() as writer:
        assert not writer.put(numbered(1), vector(1))
    assert len(notes) == 1
    assert "unable to open database file" in notes[0]


@pytest.mark.parametrize("layout", ["2", "x", ""])
def test_another_layout_is_left_alone(tmp_path, notes, layout):
    (tmp_path / "LAYOUT").write_text(layout)
    (tmp_path / "segment-1.bin").write_bytes(b"of the future")
    with ActivationStore(tmp_path, LARGE, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(1), vector(1))
        with pytest.raises(TortieError, match=f"has layout '{layout}' and this tortie knows 1"):
            store.clear()
    assert len(notes) == 1
    assert "set TORTIE_CACHE to another folder" in notes[0]
    assert (tmp_path / "segment-1.bin").read_bytes() == b"of the future"


def test_limit_zero_stores_nothing(tmp_path, notes):
    with ActivationStore(tmp_path, 0, notes.append) as store:
        with store.writer() as writer:
            assert not writer.put(numbered(1), vector(1))
        assert found(store, [1]) == []
    assert notes == []


def test_reading_trouble_counts_as_missing_and_is_said_once(store, notes, monkeypatch):
    fill(store, range(3))

    def broken(path, places):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(segments, "read", broken)
    assert found(store, range(3)) == found(store, range(3)) == []
    assert len(notes) == 1
    assert "Input/output error" in notes[0]
    notes.append("expected")
