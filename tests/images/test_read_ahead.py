"""A file that is read ahead has the bytes of the file; requests and bytes are counted by hand."""

import io
import random

import pytest

from tortie.images.read_ahead import ReadAhead

MOST = 2**22


class Counted(io.BytesIO):
    """A file that counts the requests, and the bytes that they bring."""

    requests = sent = 0

    def read(self, size):
        content = super().read(size)
        self.requests, self.sent = self.requests + 1, self.sent + len(content)
        return content


@pytest.fixture
def file():
    return Counted(random.Random(0).randbytes(10_000_000))


def members(file, size=100_000):
    """The places of a tar file's members, and what is between them: a header and a label."""
    return [(at, size) for at in range(512, len(file.getvalue()) - size, size + 2048)]


def read_all(ahead, places):
    for at, size in places:
        ahead.seek(at)
        assert ahead.read(size) == ahead._file.getvalue()[at : at + size]


def test_bytes_are_those_of_the_file_wherever_they_are_read(file):
    """Against a plain file, for places and sizes drawn at random, and for little ahead."""
    draw, content = random.Random(1), file.getvalue()
    for most in (1, 1000, MOST):
        ahead, plain = ReadAhead(file, len(content), most), io.BytesIO(content)
        for _ in range(300):
            if draw.random() < 0.5:
                place = draw.choice((draw.randrange(len(content) + 10), plain.tell() + 700))
                assert ahead.seek(place) == plain.seek(place)
            size = draw.choice((0, 1, 30, 512, 5000, 200_000))
            assert ahead.read(size) == plain.read(size)
            assert ahead.tell() == plain.tell()
        assert ahead.seek(-22, 2) == plain.seek(-22, 2)
        assert ahead.seek(3, 1) == plain.seek(3, 1)
        assert ahead.read() == plain.read()
        assert ahead.read(5) == b""


def test_in_their_order_members_come_many_at_a_time(file):
    """Ahead are 64 kB and twice as much each time: 2 + 4 MB of ten are behind six requests."""
    read_all(ReadAhead(file, 10_000_000, MOST), members(file))
    assert file.sent <= 10_000_000
    assert file.requests <= 12


def test_in_another_order_members_come_one_by_one(file):
    places = members(file)
    random.Random(2).shuffle(places)
    read_all(ReadAhead(file, 10_000_000, MOST), places)
    assert file.sent < 1.3 * sum(size for _, size in places)
    assert file.requests <= len(places)


def test_threads_that_are_late_do_not_end_what_is_fetched_ahead(file):
    """Pairs in the wrong order, as two threads ask for them."""
    places = members(file)
    swapped = [places[i ^ 1] for i in range(len(places) - len(places) % 2)]
    read_all(ReadAhead(file, 10_000_000, MOST), swapped)
    assert file.sent < 1.2 * 10_000_000
    assert file.requests < len(places) / 2


def test_headers_of_members_are_found_without_what_is_between_large_ones():
    """Ten members of 10 MB: of each some kilobytes."""
    file = Counted(bytes(100_000_000))
    ahead = ReadAhead(file, 100_000_000, MOST)
    read_all(ahead, [(at, 512) for at in range(0, 100_000_000, 10_000_000)])
    assert file.sent < 300_000
