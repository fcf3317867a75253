"""Kinds of TIFF, written by tifffile or by hand; the oracle is the array that was written."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tortie.images import UnreadableImage, decode

HEIGHT, WIDTH = 37, 50


def ramp(kind, low, high, channels=1, seed=0):
    """Levels that differ in every pixel and channel, between two bounds."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    values = low + (high - low) * rng.random(shape)
    values.reshape(-1)[:2] = low, high
    return values.astype(kind)


def written(array, **options):
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def pixels(data):
    return np.asarray(decode(data).image).astype(int)


def reason(data):
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    return caught.value.reason


LAYOUTS = [
    {},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"tile": (16, 16)},
    {"rowsperstrip": 5},
    {"compression": "zlib"},
    {"compression": "zlib", "byteorder": ">"},
    {"compression": "zlib", "byteorder": ">", "bigtiff": True, "tile": (16, 32)},
]
NAMES = [" ".join(map(str, one.values())) or "plain" for one in LAYOUTS]


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_of_every_depth(layout, photometric):
    if layout.get("compression"):
        pytest.importorskip("tifffile")
    inverted = photometric == "miniswhite"
    for values, expected in (
        (ramp("u1", 0, 255), lambda v: v),
        (ramp("u2", 0, 65535), lambda v: np.floor(v / 257 + 0.5)),
        (ramp("u4", 0, 2**32 - 1), lambda v: np.floor(v / (2**32 - 1) * 255 + 0.5)),
        (ramp("i1", -128, 127), lambda v: v + 128.0),
        (ramp("i2", -30000, 30000), lambda v: np.floor((v + 30000) / 60000 * 255 + 0.5)),
        (
            ramp("i4", -(2**31), 2**31 - 1),
            lambda v: np.floor((v + 2**31) / (2**32 - 1) * 255 + 0.5),
        ),
        (ramp("f4", 0, 1), lambda v: np.floor(v * 255 + 0.5)),
        (ramp("f4", -3, 9), lambda v: np.floor((v + 3) / 12 * 255 + 0.5)),
    ):
        data = written(values, photometric=photometric, **layout)
        levels = expected(values.astype(np.float64))
        levels = 255 - levels if inverted else levels
        try:
            found = pixels(data)
        except UnreadableImage as error:
            assert error.reason.startswith("not supported (TIFF of")
            assert values.dtype in ("i1", "i2", "i4", "f4"), error.reason
            continue
        assert np.abs(found[..., 0] - levels).max() <= 1, values.dtype
        assert (found == found[..., :1]).all()


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colour_in_pixels_and_in_planes(layout, planar, kind):
    rgb = ramp(kind, 0, np.iinfo(kind).max, 3)
    stored = np.moveaxis(rgb, 2, 0) if planar == "separate" else rgb
    data = written(stored, photometric="rgb", planarconfig=planar, **layout)
    expected = rgb.astype(int) if kind == "u1" else rgb.astype(int) >> 8
    np.testing.assert_array_equal(pixels(data), expected)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("layout", LAYOUTS[:2] + LAYOUTS[5:7])
def test_cmyk_in_planes_is_cmyk_in_pixels(kind, layout):
    cmyk = ramp(kind, 0, np.iinfo(kind).max, 4)
    options = {"photometric": "separated", **layout}
    by_pixels = pixels(written(cmyk, planarconfig="contig", **options))
    by_planes = pixels(written(np.moveaxis(cmyk, 2, 0), planarconfig="separate", **options))
    np.testing.assert_array_equal(by_planes, by_pixels)
    share = 1 - (cmyk >> (0 if kind == "u1" else 8)).astype(float) / 255
    assert np.abs(by_pixels - 255 * share[..., :3] * share[..., 3:]).max() <= 2


def test_alpha_in_planes_goes_over_white():
    rgba = ramp("u2", 0, 65535, 4)
    data = written(
        np.moveaxis(rgba, 2, 0), photometric="rgb", planarconfig="separate",
        extrasamples=["unassalpha"],
    )  # fmt: skip
    parts = (rgba >> 8).astype(float)
    alpha = parts[..., 3:] / 255
    assert np.abs(pixels(data) - (parts[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize(
    ("array", "options", "told"),
    [
        (np.zeros((9, 9), "f8"), {}, "64-bit floating-point grey"),
        (np.zeros((9, 9), "f2"), {}, "16-bit floating-point grey"),
        (np.zeros((9, 9), "u8"), {}, "64-bit grey"),
        (np.zeros((9, 9), "c8"), {}, "64-bit complex grey"),
        (np.zeros((9, 9, 3), "f4"), {"photometric": "rgb"}, "32-bit floating-point RGB"),
        (np.zeros((9, 9, 3), "u4"), {"photometric": "rgb"}, "32-bit RGB"),
        (
            np.zeros((9, 9, 2), "u2"), {"photometric": "minisblack", "planarconfig": "contig"},
            "16-bit grey with 2 samples a pixel",
        ),
        (
            np.zeros((4, 9, 9), "u2"), {"photometric": "minisblack", "planarconfig": "separate"},
            "16-bit grey with 4 samples a pixel in planes",
        ),
    ],
)  # fmt: skip
def test_what_is_not_read_is_said(array, options, told):
    assert reason(written(array, **options)) == f"not supported (TIFF of {told})"


def by_hand(tags, strip):
    """A little-endian TIFF of one strip; values are lists of 16-bit numbers."""
    tags = {**tags, 279: [len(strip)], 273: [0]}
    start = 8 + len(strip)
    behind = start + 2 + 12 * len(tags) + 4
    directory, extra = struct.pack("<H", len(tags)), b""
    for tag in sorted(tags):
        kind, values = (4, [8]) if tag == 273 else (3, tags[tag])
        value = struct.pack(f"<{len(values)}{'I' if kind == 4 else 'H'}", *values)
        if len(value) > 4:
            extra, value = extra + value, struct.pack("<I", behind + len(extra))
        directory += struct.pack("<HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", start) + strip + directory + bytes(4) + extra


GREY = {256: [4], 257: [2], 258: [8], 259: [1], 262: [1], 277: [1], 278: [2]}


@pytest.mark.parametrize("factor", [1, 257])
def test_a_colour_map_of_8_bits_is_no_black_picture(factor):
    """Of 16 bits by the standard; some programs write 8."""
    palette = np.random.default_rng(0).integers(0, 256, (3, 256))
    tags = {**GREY, 262: [3], 320: [int(v) * factor for v in palette.reshape(-1)]}
    found = pixels(by_hand(tags, bytes([0, 1, 2, 3, 100, 200, 254, 255])))
    order = [0, 1, 2, 3, 100, 200, 254, 255]
    np.testing.assert_array_equal(found.reshape(8, 3), palette[:, order].T)


def test_12_bits_that_are_packed():
    """Two samples in three bytes, 4095 is white."""
    strip = bytes([0x00, 0x0F, 0xFF, 0x80, 0x01, 0x23] * 2)
    assert pixels(by_hand({**GREY, 258: [12]}, strip))[0, :, 0].tolist() == [0, 255, 128, 18]


@pytest.mark.parametrize("left", [0.6, 0.99, 0.999])
def test_a_jpeg_in_a_tiff_without_its_tables_is_truncated(left):
    """They lie at its end, and without them the colours are others."""
    file = io.BytesIO()
    ramp = np.add.outer(np.arange(600), np.arange(800))[..., None] * [1, 2, 3]
    Image.fromarray(ramp.astype(np.uint8)).save(file, "TIFF", compression="jpeg")
    whole = file.getvalue()
    decode(whole)
    assert reason(whole[: int(len(whole) * left)]) == "truncated"


def test_signed_16_bits_without_a_negative_value_go_over_their_half():
    """0 to 32,767 are black to white, as they are where one value is below 0."""
    ramp = np.linspace(0, 32767, 40 * 30).reshape(30, 40).astype(np.int16)
    tags = GREY | {256: [40], 257: [30], 258: [16], 278: [30], 339: [2]}
    levels = pixels(by_hand(tags, ramp.tobytes()))[..., 0]
    assert (levels.min(), levels.max()) == (0, 255)


def test_strips_behind_the_end_are_missing():
    whole = by_hand(GREY, bytes(8))
    assert pixels(whole).max() == 0
    beyond = by_hand({**GREY, 278: [1], 257: [1]}, bytes(8)).replace(
        struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, 9999)
    )
    assert reason(beyond) == "truncated"
    packed = by_hand({**GREY, 259: [32773]}, b"\3abcd\3efgh")  # PackBits
    assert pixels(packed)[1, 3, 0] == ord("h")
    count = struct.pack("<HHIH", 279, 3, 1, 10)
    assert reason(packed.replace(count, struct.pack("<HHIH", 279, 3, 1, 65535))) == "truncated"


def test_a_wrong_count_of_bytes_costs_no_rows_that_are_there():
    """Where nothing is compressed, the size says how many bytes there are."""
    whole = by_hand(GREY, b"abcdefgh")
    count = struct.pack("<HHIH", 279, 3, 1, 8)
    wrong = whole.replace(count, struct.pack("<HHIH", 279, 3, 1, 65535))
    np.testing.assert_array_equal(pixels(wrong), pixels(whole))


def test_the_orientation_is_the_directorys_and_never_xmps():
    tags = {**GREY, 274: [6]}
    assert decode(by_hand(tags, bytes(range(8)))).image.size == (2, 4)
    file = io.BytesIO()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.new("RGB", (5, 3)).save(file, "TIFF", tiffinfo={700: xmp})
    assert decode(file.getvalue()).image.size == (5, 3)


def test_libtiff_does_not_write_to_the_terminal(capfd):
    """Of a fax with a bad code word libtiff tells, line by line."""
    file = io.BytesIO()
    Image.new("1", (64, 64)).save(file, "TIFF", compression="group4")
    data = bytearray(file.getvalue())
    data[8:12] = b"\x12\x34\x56\x78"
    try:
        decode(bytes(data))
    except UnreadableImage as error:
        assert error.reason in ("damaged", "truncated")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_damaged_directory_is_refused_or_read(place):
    data = bytearray(written(ramp("u2", 0, 65535, 3), photometric="rgb", planarconfig="contig"))
    start = struct.unpack_from("<I", data, 4)[0]
    data[(start + place) % len(data)] ^= 0xA5
    try:
        assert decode(bytes(data)).image.mode == "RGB"
    except UnreadableImage as error:
        assert error.reason
