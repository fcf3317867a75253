"""What is in a file beside its pixels must cost no picture, and turn none; cuts must be found."""

import io
import itertools
import re
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tortie.images import UnreadableImage, boxes, decode
from tortie.images.header import Header, Parts, check_size
from tortie.images.limits import MAX_PIXELS
from tortie.images.room import Room


def saved(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(height=30, width=40, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pixels(data, **options):
    return np.asarray(decode(data, **options).image).astype(int)


def reason(data, **options):
    with pytest.raises(UnreadableImage) as caught:
        decode(data, **options)
    return caught.value.reason


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, depth, colour, *before, width=None):
    """A PNG of rows of bytes, unfiltered, with chunks before its pixels."""
    wide = width if width is not None else len(rows[0]) * 8 // depth
    header = struct.pack(">IIBBBBB", wide, len(rows), depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before, chunk(b"IDAT", body),
         chunk(b"IEND", b"")]
    )  # fmt: skip


def with_chunks(data, *chunks, after=False):
    """A PNG with more chunks: behind its header, or behind its pixels."""
    at = data.index(b"IEND") - 4 if after else 33
    return data[:at] + b"".join(chunks) + data[at:]


LARGE = zlib.compress(bytes(3 * 2**20))
ANCILLARY = {
    "large zTXt": chunk(b"zTXt", b"Comment\0\0" + LARGE),
    "large iTXt": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
    "many texts": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20))) * 70,
    "large profile": chunk(b"iCCP", b"profile\0\0" + LARGE),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "no animation": chunk(b"fcTL", bytes(26)) + chunk(b"acTL", b"\0"),
    "wrong checksum": b"\0\0\0\4tEXta\0bc\0\0\0\0",
    "wrong checksum of a profile": b"\0\0\0\4iCCPa\0\0b\0\0\0\0",
    "unknown": chunk(b"prVt", b"something"),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ANCILLARY)
def test_no_ancillary_chunk_costs_the_picture(name, after):
    data = with_chunks(saved(picture()), ANCILLARY[name], after=after)
    np.testing.assert_array_equal(pixels(data), np.asarray(picture()))


def test_too_many_chunks_are_refused():
    assert "chunks" in reason(with_chunks(saved(picture()), chunk(b"prVt", b"") * 200_001))


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("rows", [0, 15, 29])
def test_rows_that_are_not_there_are_missing(rows, interlaced):
    """All chunks are sound, and their stream ends before the last row."""
    body = zlib.compress((b"\0" + (b"\0" if interlaced else b"\x7f") * 40) * rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, interlaced))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert reason(data) == "truncated"


def test_a_png_without_its_palette_is_damaged():
    assert reason(png([bytes([0, 1, 2])], 8, 3, width=3)) == "damaged: no palette"


def test_a_black_png_is_whole():
    for mode in ("1", "L", "RGB", "RGBA", "P"):
        assert decode(saved(Image.new(mode, (33, 7)))).width == 33


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_colour_key_of_grey_goes_over_white(depth):
    """Every level that two bytes or fewer can write; the one that is the key is white."""
    most = 2**depth - 1
    levels = np.arange(0, most + 1, max(1, most // 255))[:256]
    width = len(levels)
    if depth == 16:
        row = levels.astype(">u2").tobytes()
    else:
        bits = "".join(format(int(level), f"0{depth}b") for level in levels)
        bits += "0" * (-len(bits) % 8)
        row = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    for key in {0, int(levels[width // 3]), int(levels[-1])}:
        data = png([row], depth, 0, chunk(b"tRNS", struct.pack(">H", key)), width=width)
        expected = np.floor(levels / most * 255 + 0.5)
        expected[levels == key] = 255
        np.testing.assert_array_equal(pixels(data)[0, :, 0], expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_key_is_compared_in_all_its_bits(depth):
    kind = ">u2" if depth == 16 else ">u1"
    colours = np.array([[200, 100, 50], [200, 100, 51], [255, 0, 0]])
    stored = colours * 257 if depth == 16 else colours
    if depth == 16:
        stored[1] = stored[0] + [0, 0, 1]  # another colour, with the same upper bits
    row = stored.astype(kind).tobytes()
    key = struct.pack(">3H", *map(int, stored[0]))
    found = pixels(png([row], depth, 2, chunk(b"tRNS", key), width=3))[0]
    assert found[0].tolist() == [255, 255, 255]
    assert found[1].tolist() == [200, 100, 50 if depth == 16 else 51]
    assert found[2].tolist() == [255, 0, 0]


def bmp(alpha, header=124):
    """32 bits with a mask for alpha (a V4 or V5 header), bottom row first."""
    rgb = np.asarray(picture(6, 5))
    body = np.dstack([rgb[::-1, :, ::-1], np.full((6, 5), alpha, np.uint8)]).tobytes()
    info = struct.pack("<IiiHHIIiiII", header, 5, 6, 1, 32, 3, len(body), 0, 0, 0, 0)
    info += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = info.ljust(header, b"\0")
    start = 14 + header
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + body


@pytest.mark.parametrize("header", [108, 124])
def test_a_bmp_whose_alpha_is_zero_everywhere_is_opaque(header):
    np.testing.assert_array_equal(pixels(bmp(0, header)), np.asarray(picture(6, 5)))
    np.testing.assert_array_equal(pixels(bmp(255, header)), np.asarray(picture(6, 5)))
    half = np.asarray(picture(6, 5)) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(pixels(bmp(128, header)) - half).max() <= 1


def test_a_png_that_is_transparent_everywhere_is_white():
    assert pixels(saved(Image.new("RGBA", (4, 4), (1, 2, 3, 0)))).min() == 255


def gif(frame, screen=(20, 10), background=0):
    """One frame of colour 1 (red) at a place of a screen whose background colour is blue."""
    left, top, wide, tall = frame
    palette = bytes([0, 0, 255, 255, 0, 0]) + bytes(3 * 126)
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0xF6, background, 0)
    codes = bytearray()  # of 8 bits, as long as the table is cleared (128) every 100 pixels
    for start in range(0, wide * tall, 100):
        codes += bytes([128]) + b"\1" * min(100, wide * tall - start)
    codes += b"\x81"  # the end
    blocks = b"".join(
        bytes([len(codes[i : i + 255])]) + codes[i : i + 255] for i in range(0, len(codes), 255)
    )
    where = struct.pack("<HHHHB", left, top, wide, tall, 0)
    return head + palette + b"," + where + b"\7" + blocks + b"\0;"


def test_what_a_gif_frame_leaves_free_is_white():
    found = pixels(gif((3, 2, 9, 5)))
    assert found.shape == (10, 20, 3)
    expected = np.full((10, 20, 3), 255)
    expected[2:7, 3:12] = (255, 0, 0)
    np.testing.assert_array_equal(found, expected)


def test_comments_before_a_gif_frame_cost_nothing():
    whole = gif((0, 0, 20, 10))
    at = whole.index(b",", 13 + 384)
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 1000 + b"\0"
    np.testing.assert_array_equal(pixels(whole[:at] + comment + whole[at:]), pixels(whole))
    many = b"!\xfe" + b"\1c" * 100_001 + b"\0"
    assert "blocks" in reason(whole[:at] + many + whole[at:])


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_stale_xmp_turns_no_photograph(format):
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = saved(picture(), "PNG", pnginfo=info)
    elif format == "AVIF":
        plugin = pytest.importorskip("PIL.AvifImagePlugin")
        if not plugin.SUPPORTED:
            pytest.skip("Pillow without AVIF")
        data = saved(picture(), "AVIF", xmp=XMP)
    else:
        data = saved(picture(), format, xmp=XMP)
    assert b"Orientation" in data
    found = decode(data)
    assert (found.width, found.height, found.orientation) == (40, 30, 1)


def test_an_image_in_memory_is_not_turned_by_xmp():
    image = Image.open(io.BytesIO(saved(picture(), "JPEG", xmp=XMP)))
    assert decode(image).orientation == 1


def test_metadata_of_a_jpeg_cost_nothing():
    whole = saved(picture(), "JPEG", quality=95)
    segment = b"\xff\xed" + struct.pack(">H", 65535) + b"Photoshop 3.0\0" + bytes(65519)
    np.testing.assert_array_equal(pixels(whole[:2] + segment * 30 + whole[2:]), pixels(whole))
    comment = b"\xff\xfe\0\2"
    assert "segments" in reason(whole[:2] + comment * 20_001 + whole[2:])
    assert reason(whole[:20] + bytes(70_000) + whole[20:]) == "damaged"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_end_was_never_written_is_truncated(progressive):
    """Its space was laid out, in zeros, and the copy stopped."""
    whole = saved(picture(300, 400), "JPEG", quality=95, progressive=progressive)
    stopped = whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    assert reason(stopped) in ("truncated", "damaged")


def scans(count, width=64, height=64):
    """A grey progressive JPEG with empty refinement scans: 14 bytes each at this size."""
    blocks = (width // 8) * (height // 8)
    head = b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64) + b"\xff\xc2"
    head += struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    for table, symbol in ((0, 0), (0x10, 0xE0 if blocks > 1 else 0)):
        head += (
            b"\xff\xc4" + struct.pack(">HB", 20, table) + bytes([1] + [0] * 15) + bytes([symbol])
        )
    first = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 1) + bytes((blocks + 7) // 8)
    run = "0" + format(min(blocks, 32767) - 16384 & 0x3FFF, "014b")
    bits = (run if blocks >= 16384 else "").ljust(16, "1")
    rest = bytes(int(bits[i : i + 8], 2) for i in (0, 8)).replace(b"\xff", b"\xff\0")
    again = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0x10) + rest
    return head + first + again * count + b"\xff\xd9"


def test_a_jpeg_with_too_many_scans_is_refused_before_it_is_decoded():
    assert reason(scans(501)) == "too many scans for 64×64 pixels"
    assert reason(scans(200, 8192, 8192)) == "too many scans for 8192×8192 pixels"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_cameras_scans_are_within_the_limit(options):
    assert decode(saved(picture(600, 800), "JPEG", quality=92, **options)).width == 800


@pytest.mark.parametrize(
    ("code", "told"),
    [(0xC3, "not supported (lossless JPEG)"), (0xC5, "not supported (hierarchical JPEG)")],
)
def test_a_jpeg_of_another_kind_is_said(code, told):
    data = saved(picture(), "JPEG")
    assert reason(data.replace(b"\xff\xc0\0\x11\x08", bytes([255, code]) + b"\0\x11\x08")) == told


def test_12_bit_jpegs_are_said():
    data = saved(picture(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c")
    assert reason(data) == "not supported (12-bit JPEG)"


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_tiled_heic_that_is_cut_is_truncated(cut):
    """As a telephone writes it, tile by tile: the decoder paints what is missing green."""
    whole = tiled_heic()
    assert decode(whole).image.size == (192, 128)
    assert reason(whole[: int(len(whole) * cut)]) == "truncated"


def test_a_heic_whose_tiles_were_never_written_is_damaged():
    whole = tiled_heic()
    assert reason(whole[: len(whole) // 2].ljust(len(whole), b"\0")) == "damaged"


def test_a_heic_whose_last_box_reaches_to_the_end_is_found_out():
    """A box of length 0 ends where the file does; its items' places tell."""
    whole = bytearray(tiled_heic())
    at = whole.index(b"mdat") - 4
    whole[at : at + 4] = bytes(4)
    assert decode(bytes(whole)).width == 192
    assert reason(bytes(whole[:-100])) == "truncated"


@pytest.mark.parametrize("behind", [b"\n", b"SEFH" + bytes(range(1, 60)), b"written by an editor"])
def test_what_lies_behind_the_last_box_of_a_heic_is_passed_over(behind):
    assert decode(tiled_heic() + behind).image.size == (192, 128)


def test_what_is_damaged_within_the_boxes_is_no_junk_behind_them():
    """Whatever lies before: the data of the one item come first, and the boxes that tell of it."""
    place = bytes(4) + struct.pack(">BBH", 0x44, 0, 1) + struct.pack(">HHHII", 7, 0, 1, 8, 40)

    def box(kind, content, size=None):
        return struct.pack(">I4s", size or 8 + len(content), kind) + content

    whole = box(b"mdat", bytes(40)) + box(b"meta", bytes(4) + box(b"iloc", place))
    assert boxes.parse(whole + b"junk").extents == {7: [(8, 40)]}
    inner = box(b"iloc", place) + box(b"iprp", b"", 9)  # ends behind its own
    with pytest.raises(UnreadableImage, match="truncated"):
        boxes.parse(box(b"mdat", bytes(40)) + box(b"meta", bytes(4) + inner))


def test_a_heic_whose_end_was_zeroed_is_damaged():
    """In one unit of HEVC, whose length says nothing of it."""
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(picture(300, 400)).save(file, quality=90)
    whole = file.getvalue()
    decode(whole)
    kept = len(whole) * 6 // 10
    assert reason(whole[:kept].ljust(len(whole), b"\0")) == "damaged"


def test_tiles_of_a_grid_count_as_often_as_they_are_shown():
    """Boxes by hand: an item of 40 bytes that a grid shows 8 times, 320 bytes in all."""

    def box(kind, *parts):
        content = b"".join(parts)
        return struct.pack(">I4s", 8 + len(content), kind) + content

    place = bytes(4) + struct.pack(">BBH", 0x44, 0, 1) + struct.pack(">HHHII", 7, 0, 1, 0, 40)
    grid = box(b"dimg", struct.pack(">HH8H", 1, 8, *[7] * 8))
    data = box(b"meta", bytes(4), box(b"iloc", place), box(b"iref", bytes(4), grid))
    assert boxes.parse(data).tiles == [7] * 8
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(boxes, "TILE_BYTES", 319)
        with pytest.raises(UnreadableImage, match="MB of tiles"):
            boxes.parse(data)


def tiled_heic():
    heif = pytest.importorskip("pillow_heif")
    noise = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)
    file = io.BytesIO()
    try:
        heif.from_pillow(Image.fromarray(noise)).save(file, quality=60, tile_size=64)
    except TypeError:
        pytest.skip("pillow_heif without tiles")
    return file.getvalue()


def test_an_avif_is_cropped_to_its_clean_aperture():
    plugin = pytest.importorskip("PIL.AvifImagePlugin")
    if not plugin.SUPPORTED:
        pytest.skip("Pillow without AVIF")
    whole = saved(picture(64, 96), "AVIF", quality=95, subsampling="4:4:4")
    data = with_property(whole, b"clap", struct.pack(">IIIIiIiI", 40, 1, 20, 1, -10, 1, 4, 1))
    full, cropped = pixels(whole), pixels(data)
    left, top = 48 - 10 - 20, 32 + 4 - 10
    np.testing.assert_array_equal(cropped, full[top : top + 20, left : left + 40])


def with_property(data, kind, content):
    """An AVIF with one more property of its only item; places in the file move with it."""
    box = struct.pack(">I4s", 8 + len(content), kind) + content
    ipco = data.index(b"ipco") - 4
    size = struct.unpack_from(">I", data, ipco)[0]
    count = data[ipco:].count(b"ispe") and len(
        list(re.finditer(rb"ispe|pixi|av1C|colr|irot|imir|auxC", data[ipco + 8 : ipco + size]))
    )
    data = bytearray(data[: ipco + size] + box + data[ipco + size :])
    struct.pack_into(">I", data, ipco, size + len(box))
    ipma = data.index(b"ipma") - 4
    many = ipma + 8 + 4 + 4 + 2  # behind its version, the number of items, and the item
    data[many + 1 + data[many] : many + 1 + data[many]] = bytes([0x80 | (count + 1)])
    data[many] += 1
    struct.pack_into(">I", data, ipma, struct.unpack_from(">I", data, ipma)[0] + 1)
    for name, grown in ((b"iprp", len(box) + 1), (b"meta", len(box) + 1)):
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + grown)
    iloc = data.index(b"iloc") + 4
    assert data[iloc] == 0 and data[iloc + 4] == 0x44 and data[iloc + 5] & 0xF0 == 0
    offset = iloc + 8 + 2 + 2 + 2  # behind the head, the item, its file, how many extents
    struct.pack_into(">I", data, offset, struct.unpack_from(">I", data, offset)[0] + len(box) + 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"P5 3 1 255\n", bytes([0, 7, 255]), [0, 7, 255]),
        (b"P5\n# a\n3 #b\n1\n4095\n", struct.pack(">3H", 0, 2048, 4095), [0, 128, 255]),
        (b"P5 3 1 65535 ", struct.pack(">3H", 0, 32896, 65535), [0, 128, 255]),
        (b"P5 3 1 1\n", bytes([0, 1, 1]), [0, 255, 255]),
        (b"P4 3 1\n", bytes([0b10100000]), [0, 255, 0]),
    ],
)
def test_portable_graymaps(head, body, expected):
    assert pixels(head + body)[0, :, 1].tolist() == expected
    assert reason((head + body)[:-1]) == "truncated"


def test_a_portable_pixmap():
    rgb = np.asarray(picture())
    data = b"P6 40 30 255\n" + rgb.tobytes()
    np.testing.assert_array_equal(pixels(data), rgb)
    assert decode(data).format == "PPM"
    assert reason(b"P6 40 30 0\n" + bytes(3600)) == "damaged"
    assert reason(b"P3 1 1 255\n1 2 3") == "not supported (PPM as text, PAM or PFM)"


def test_limits_by_format():
    """The default allows less where a decoder keeps the whole image; a higher limit, half of it."""
    check_size(Header(10_000, 10_000, "PNG", 100_000_000), MAX_PIXELS)
    with pytest.raises(UnreadableImage, match=r"10001×10000 .* limit of 100 megapixels for PNG"):
        check_size(Header(10_001, 10_000, "PNG", 100_000_000), MAX_PIXELS)
    check_size(Header(14_142, 14_142, "WEBP", 60_000_000), 400_000_000)
    check_size(Header(14_142, 14_142, "JPEG", 200_000_000), MAX_PIXELS)
    with pytest.raises(UnreadableImage, match=r"limit of 1 megapixels$"):
        check_size(Header(1001, 1000, "PNG", 100_000_000), 1_000_000)
    with pytest.raises(UnreadableImage, match="a side is over the limit of 65,535"):
        check_size(Header(65_536, 1, "PNG", 100_000_000), MAX_PIXELS)
    with pytest.raises(UnreadableImage, match="damaged: 0×9"):
        check_size(Header(0, 9, "PNG", 100_000_000), MAX_PIXELS)


def test_parts_read_as_one_file():
    whole = bytes(range(256)) * 5
    cuts = [0, 3, 3, 700, 1280]
    parts = Parts([memoryview(whole)[a:b] for a, b in itertools.pairwise(cuts)])
    plain = io.BytesIO(whole)
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = int(rng.integers(-1, 900))
        if rng.random() < 0.3:
            at = int(rng.integers(0, 1400))
            assert parts.seek(at) == plain.seek(at)
        assert parts.read(size) == plain.read(size)
        assert parts.tell() == plain.tell()
    assert parts.seek(-5, io.SEEK_END) == plain.seek(-5, io.SEEK_END)
    assert parts.read() == plain.read()


def test_a_large_file_is_judged_by_its_header_before_it_is_read(tmp_path, monkeypatch):
    """Of a bomb of 300 MB, a hole in the file, no more than the first MiB is read."""
    from tortie.images import content

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    with open(tmp_path / "bomb.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.truncate(300 * 2**20)
    sizes = []
    read = content._read
    monkeypatch.setattr(content, "_read", lambda fd, size: sizes.append(size) or read(fd, size))
    told = "50000×50000 pixels is over the limit of 105 megapixels for PNG"
    assert reason(tmp_path / "bomb.png") == told
    assert max(sizes) <= 2**20


def test_memory_is_estimated_from_the_header():
    """A raw TIFF of 100 megapixels of 32 bits: 0.4 GB of file, 0.4 of its image, 0.4 of RGB."""
    check_size(Header(10_000, 10_000, "TIFF", 100_000_000, memory=8), MAX_PIXELS, 10**8)
    with pytest.raises(UnreadableImage, match=r"it would take 1\.2 GB of memory, over 1"):
        check_size(Header(10_000, 10_000, "TIFF", 100_000_000, memory=8), MAX_PIXELS, 4 * 10**8)
    check_size(Header(10_000, 10_000, "TIFF", 100_000_000, memory=8), 3 * 10**8, 4 * 10**8)


def test_large_images_wait_for_each_other():
    """Of a room of ten, at most ten are taken, or one alone that is larger."""
    room = Room(10)
    inside, most, lock = [], [], threading.Lock()

    def work(size):
        with room.taken(size):
            with lock:
                inside.append(size)
                most.append(list(inside))
            time.sleep(0.001)
            with lock:
                inside.remove(size)

    sizes = [3, 4, 25, 2, 10, 7, 1, 30] * 4
    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == len(sizes)
    assert all(sum(one) <= 10 or len(one) == 1 for one in most)
