import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tortie.activations import segments
from tortie.activations.segments import OpenSegment

KEY = bytes(range(32))
DTYPES = ("u1", "f4", "u2", "f2")


def whole(key, array):
    head, payload = segments.encode(key, array)
    return head + bytes(payload)


def numbered(number):
    return number.to_bytes(32, "big")


def test_an_entry_by_hand():
    body = (
        b"\x93TRT"  # magic
        + bytes([1, 2, 2, 0, 0, 0, 0, 0])  # version, float32, two dimensions, zeros
        + KEY
        + struct.pack("<QQQ", 8, 1, 2)  # bytes of the payload, dimensions
        + bytes.fromhex("0000803f 00000040")  # 1.0 and 2.0
    )
    expected = struct.pack("<I", zlib.crc32(body)) + body
    assert whole(KEY, np.array([[1, 2]], np.float32)) == expected


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))
    )
)
def test_round_trip(array):
    entry = segments.decode(memoryview(whole(KEY, array)), KEY)
    assert entry is not None
    found = entry.array()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    found[...] = 0  # a copy of its own, that may be written


def test_layout_in_memory_does_not_matter():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert whole(KEY, array) == whole(KEY, np.asfortranarray(array))
    assert whole(KEY, array[:, ::2]) == whole(KEY, array[:, ::2].copy())


@pytest.mark.parametrize("dtype", ["f8", "i4", ">f4", "O"])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match="the store keeps uint8, float32, float16 and uint16"):
        segments.encode(KEY, np.zeros(2, dtype))


def test_every_flipped_byte_is_noticed():
    data = whole(KEY, np.arange(5, dtype=np.float32))
    for position in range(len(data)):
        for change in (1, 0x80, 0xFF):
            flipped = bytearray(data)
            flipped[position] ^= change
            assert segments.decode(memoryview(flipped), KEY) is None, (position, change)


@given(st.binary(max_size=300))
def test_noise_is_no_entry(noise):
    assert segments.decode(memoryview(noise), KEY) is None
    assert segments.scan(noise, 0) == ([], 0)


def test_another_key_is_no_entry_of_this_one():
    data = memoryview(whole(KEY, np.zeros(3, np.uint8)))
    assert segments.decode(data, numbered(5)) is None
    assert segments.decode(data[:-1], KEY) is None
    assert segments.decode(memoryview(bytes(data) + b"\0"), KEY) is None


def test_scan_stops_before_a_torn_tail_at_any_byte():
    entries = [whole(numbered(i), np.full(i + 1, i, np.uint8)) for i in range(3)]
    ends = np.cumsum([len(entry) for entry in entries]).tolist()
    data = b"".join(entries)
    for length in range(len(data) + 1):
        places, end = segments.scan(data[:length], 0)
        count = sum(length >= end for end in ends)
        assert [key for _, _, key in places] == [numbered(i) for i in range(count)]
        assert end == ([0, *ends])[count]


def test_scan_steps_over_a_flipped_byte_anywhere():
    entries = [whole(numbered(i), np.full(4, i, np.float32)) for i in range(3)]
    size = len(entries[0])
    for position in range(size, 2 * size):
        data = bytearray(b"".join(entries))
        data[position] ^= 0xFF
        places, end = segments.scan(bytes(data), 0)
        assert places == [(0, size, numbered(0)), (2 * size, size, numbered(2))], position
        assert end == 3 * size


@given(st.data())
def test_read_gives_the_bytes_of_every_place(tmp_path_factory, data):
    # Oracle: slices of the file. Small limits, so that entries lie far apart or exceed the window.
    content = bytes(i % 251 for i in range(2000))
    path = tmp_path_factory.mktemp("read") / "segment-1.bin"
    path.write_bytes(content)
    places = sorted(
        (offset, length, KEY)
        for offset, length in data.draw(
            st.lists(st.tuples(st.integers(0, 2100), st.integers(1, 400)), max_size=20)
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_READ_BYTES", 300)
        patch.setattr(segments, "_GAP_BYTES", 50)
        got = [(place, bytes(block)) for place, block in segments.read(path, places)]
    assert [place for place, _ in got] == places
    for (offset, length, _), block in got:
        inside = offset + length <= len(content)
        assert block == (content[offset : offset + length] if inside else b"")


def test_one_writer_a_segment(tmp_path):
    segment = OpenSegment.create(tmp_path)
    segment.append(memoryview(b"abc"))
    assert OpenSegment.adopt(tmp_path, segment.name) is None
    with segments.locked(tmp_path / segment.name) as descriptor:
        assert descriptor is None
    segment.close()
    again = OpenSegment.adopt(tmp_path, segment.name)
    assert again is not None
    assert again.end == 3
    again.append(memoryview(b"de"))
    again.close()
    assert (tmp_path / segment.name).read_bytes() == b"abcde"
    assert OpenSegment.adopt(tmp_path, "segment-none.bin") is None


def test_removed_segment_is_noticed(tmp_path):
    segment = OpenSegment.create(tmp_path)
    assert not segment.gone
    (tmp_path / segment.name).unlink()
    assert segment.gone
    segment.close()


def test_a_write_that_fails_half_way_leaves_the_segment_as_it_was(tmp_path, monkeypatch):
    segment = OpenSegment.create(tmp_path)
    segment.append(memoryview(b"first"))
    real = os.pwrite
    calls = []

    def full(descriptor, data, offset):
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:2], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        segment.append(memoryview(b"second"))
    assert calls == [5, 7]
    assert (tmp_path / segment.name).read_bytes() == b"first"
    monkeypatch.setattr(
        os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:2], offset)
    )
    segment.append(memoryview(b"third"))  # short writes are carried on
    assert (tmp_path / segment.name).read_bytes() == b"firstthird"
    segment.close()
