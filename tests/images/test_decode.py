import importlib
import io
import os
import re
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tortie.errors import TortieError
from tortie.images import UnreadableImage, decode

pixels_module = importlib.import_module("tortie.images.pixels")


def saved(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(height=30, width=40, seed=0):
    """Smooth, so that lossy formats stay close, and different in every corner."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pixels(data, **options):
    return np.asarray(decode(data, **options).image)


def first(data):
    return tuple(int(level) for level in pixels(data)[0, 0])


def reason(data, **options):
    with pytest.raises(UnreadableImage) as caught:
        decode(data, **options)
    return caught.value.reason


ENCODED = {
    "png": saved(picture()),
    "gif": saved(picture().quantize(256, dither=Image.Dither.NONE), "GIF"),
    "bmp": saved(picture(), "BMP"),
    "webp": saved(picture(), "WEBP", quality=90),
    "webp lossless": saved(picture(), "WEBP", lossless=True),
    "tiff": saved(picture(), "TIFF"),
    "tiff lzw": saved(picture(), "TIFF", compression="tiff_lzw"),
    "jpeg": saved(picture(), "JPEG", quality=95),
    "jpeg progressive": saved(picture(), "JPEG", quality=95, progressive=True),
    "jpeg restarts": saved(picture(), "JPEG", quality=95, restart_marker_rows=1),
}


@pytest.mark.parametrize("name", ENCODED)
def test_each_format_gives_back_what_was_saved(name):
    decoded = decode(ENCODED[name])
    assert (decoded.image.mode, decoded.width, decoded.height) == ("RGB", 40, 30)
    assert decoded.format == name.split()[0].upper()
    assert (decoded.orientation, decoded.extent) == (1, (0, 0, 40, 30))
    error = np.abs(np.asarray(decoded.image).astype(int) - np.asarray(picture()))
    lossless = name in ("png", "bmp", "webp lossless", "tiff", "tiff lzw")
    assert error.max() == 0 if lossless else error.mean() < (8 if name == "gif" else 4)


@pytest.mark.parametrize("name", ENCODED)
@settings(max_examples=30)
@given(data=st.data())
def test_a_file_cut_short_is_refused_or_lost_no_pixel(name, data):
    whole = ENCODED[name]
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        after = pixels(whole[:cut])
    except UnreadableImage:
        return
    np.testing.assert_array_equal(after, pixels(whole))


@pytest.mark.parametrize("name", ENCODED)
def test_half_a_file_is_truncated(name):
    whole = ENCODED[name]
    assert reason(whole[: len(whole) * 2 // 3]) == "truncated"
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


MAGIC = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"GIF89a", b"BM")
MORE_MAGIC = (b"II*\0", b"MM\0*", b"\0\0\0\x18ftypheic\0\0\0\0", b"\0\0\0\x18ftypavif\0\0\0\0")


@settings(max_examples=200)
@given(magic=st.sampled_from(MAGIC + MORE_MAGIC), rest=st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else_is_raised(magic, rest):
    assert reason(magic + rest)


@settings(max_examples=200)
@given(name=st.sampled_from([n for n in ENCODED if "tiff" not in n]), data=st.data())
def test_damage_is_refused_or_decodes_and_nothing_else_is_raised(name, data):
    damaged = bytearray(ENCODED[name])
    for _ in range(3):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert decode(bytes(damaged), max_pixels=10**6).image.mode == "RGB"
    except UnreadableImage as error:
        assert error.reason and "\n" not in error.reason


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_the_size_limit_is_read_from_the_header():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    assert reason(bomb) == "60000×60000 pixels is over the limit of 105 megapixels for PNG"
    assert decode(ENCODED["png"], max_pixels=1200).width == 40
    assert reason(ENCODED["png"], max_pixels=1199).endswith("over the limit of 0.001199 megapixels")


@pytest.mark.parametrize("name", ENCODED)
def test_the_limit_of_pillow_has_no_say(name, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)  # an error from twice this, else a warning
    assert decode(ENCODED[name]).width == 40


def test_a_flipped_bit_in_the_pixels_of_a_png_is_found():
    damaged = bytearray(ENCODED["png"])
    damaged[damaged.index(b"IDAT") + 20] ^= 1
    assert reason(bytes(damaged)) == "damaged: wrong checksum"


def test_what_follows_the_end_of_a_jpeg_does_no_harm():
    np.testing.assert_array_equal(pixels(ENCODED["jpeg"] + b"\0rest"), pixels(ENCODED["jpeg"]))


# By the EXIF standard: where the stored row 0 and column 0 are seen, as an operation of numpy.
SEEN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # row 0 is at the right, column 0 at the top
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),  # row 0 is at the left, column 0 below
}


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_the_orientation_is_applied(format, orientation):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = saved(picture(), format, exif=exif(orientation), **options.get(format, {}))
    decoded = decode(data)
    seen = SEEN[orientation](np.asarray(picture())).astype(int)
    assert np.abs(np.asarray(decoded.image) - seen).max() <= (4 if format == "JPEG" else 0)
    assert (decoded.height, decoded.width) == seen.shape[:2]
    assert decoded.orientation == orientation


def test_orientation_6_by_hand():
    """Stored left to right, red then blue: held upright, red is above blue."""
    stored = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    upright = pixels(saved(stored, exif=exif(6)))
    assert upright.tolist() == [[[255, 0, 0]], [[0, 0, 255]]]


@pytest.mark.parametrize(
    "tags",
    [
        exif(0).tobytes(),
        exif(9).tobytes(),
        b"Exif\0\0garbage of no structure",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0" * 8,
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02aa\0\0\0\0\0\0",  # a text
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_malformed_exif_counts_as_upright(format, tags):
    decoded = decode(saved(picture(), format, exif=tags))
    assert (decoded.orientation, decoded.width, decoded.height) == (1, 40, 30)


@pytest.mark.parametrize(
    ("at_least", "side"),
    [(256, 563), (281, 563), (282, 1125), (150, 563), (140, 282), (70, 141), (9, 141)],
)
def test_a_large_jpeg_is_reduced_to_no_less_than_twice_what_is_needed(at_least, side):
    decoded = decode(saved(picture(1500, 1125), "JPEG"), at_least=at_least)
    assert (decoded.width, decoded.height) == (1125, 1500)
    assert decoded.image.width == side  # 1125 / 1, 2, 4, 8, rounded up
    assert side >= 2 * at_least or side == 1125


@pytest.mark.parametrize("orientation", SEEN)
def test_the_extent_is_where_the_full_image_lies(orientation):
    """Sampled where the extent says, a reduced ramp has the levels of the full one."""
    across = np.linspace(0, 255, 1101)[None, :, None]
    down = np.linspace(0, 255, 1003)[:, None, None]
    ramp = np.concatenate(np.broadcast_arrays(across, down, 128.0), axis=2).astype(np.uint8)
    data = saved(Image.fromarray(ramp), "JPEG", quality=100, subsampling=0, exif=exif(orientation))
    full, reduced = decode(data), decode(data, at_least=120)
    assert min(reduced.image.size) == 251  # a quarter of 1003 is 250.75
    assert (reduced.width, reduced.height) == (full.width, full.height)
    size, method = (50, 50), Image.Resampling.BILINEAR
    expected = np.asarray(full.image.resize(size, method)).astype(float)
    sampled = np.asarray(reduced.image.resize(size, method, box=reduced.extent))
    assert np.abs(sampled - expected).mean() < 0.3


def one(mode, colour, size=(9, 7)):
    return Image.new(mode, size, colour)


def test_alpha_goes_over_white():
    """200·128/255 + 255·127/255 = 227.4, and so on."""
    assert first(saved(one("RGBA", (200, 100, 0, 128)))) == pytest.approx((227, 177, 127), abs=1)
    assert first(saved(one("RGBA", (9, 9, 9, 0)))) == (255, 255, 255)
    assert first(saved(one("LA", (100, 128)))) == pytest.approx((177,) * 3, abs=1)
    webp = saved(one("RGBA", (200, 100, 0, 0)), "WEBP", lossless=True)
    assert first(webp) == (255, 255, 255)


def test_a_transparent_colour_of_a_palette_or_a_key_is_white():
    palette = one("P", 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert first(saved(palette)) == (40, 50, 60)
    assert first(saved(palette, transparency=1)) == (255, 255, 255)
    assert first(saved(palette, transparency=bytes([255, 0]))) == (255, 255, 255)
    assert first(saved(palette, "GIF", transparency=1)) == (255, 255, 255)
    assert first(saved(one("RGB", (1, 2, 3)), transparency=(1, 2, 3))) == (255, 255, 255)
    assert first(saved(one("RGB", (1, 2, 4)), transparency=(1, 2, 3))) == (1, 2, 4)
    assert first(saved(one("L", 7), transparency=7)) == (255, 255, 255)


def test_grey_bits_and_other_colour_spaces():
    assert first(saved(one("L", 77))) == (77, 77, 77)
    assert first(saved(one("L", 77), "JPEG")) == (77, 77, 77)
    assert first(saved(one("1", 1))) == (255, 255, 255)
    assert first(saved(one("1", 0), "TIFF")) == (0, 0, 0)
    assert first(saved(one("CMYK", (255, 0, 0, 0)), "TIFF")) == (0, 255, 255)
    ycbcr = one("RGB", (200, 100, 50)).convert("YCbCr")
    assert first(saved(ycbcr, "TIFF")) == pytest.approx((200, 100, 50), abs=2)
    white = saved(one("LAB", (255, 128, 128)), "TIFF")
    assert b"\xff\0\0" * 63 in white  # L* of 100, a* and b* of 0, as the TIFF standard stores them
    assert first(white) == pytest.approx((255, 255, 255), abs=2)


def test_cmyk_in_a_jpeg_is_taken_as_inverted():
    jpeg = saved(one("CMYK", (255, 0, 0, 0), (16, 16)), "JPEG", quality=100)
    assert b"Adobe" in jpeg
    assert first(jpeg) == pytest.approx((0, 255, 255), abs=3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 32896, 65535]], np.uint16), [0, 1, 128, 255]),
        (np.array([[0, 128, 129, 65406]], np.uint16), [0, 0, 1, 254]),  # halves: 128.5, 65406.5
        (np.array([[0, 257, 32896, 65535]], np.int32), [0, 1, 128, 255]),
        (np.array([[-10, 0, 10]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0.25, 0.5, 0.5]], np.float32), [64, 128, 128]),
        (np.array([[-2, 0, 2]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0, 4, np.inf]], np.float32), [0, 0, 255, 255]),
        (np.array([[7, 7]], np.float32), [0, 0]),
        (np.array([[np.nan, np.nan]], np.float32), [0, 0]),
    ],
)
def test_deep_grey_is_scaled_not_clipped(values, expected):
    levels = pixels(saved(Image.fromarray(values), "TIFF"))
    assert levels[0, :, 0].tolist() == expected
    assert (levels == levels[..., :1]).all()


def test_16_bit_png_is_scaled():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert pixels(saved(Image.fromarray(values)))[0, :, 2].tolist() == [0, 1, 128, 255]
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32896, 0) for _ in range(2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 2, 16, 2, 0, 0, 0))
    colour = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows))
    assert first(colour + chunk(b"IEND", b"")) == (255, 128, 0)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(format):
    frames = [one("RGB", (250, 0, 0)), one("RGB", (0, 250, 0)), one("RGB", (0, 0, 250))]
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    assert first(data) == (250, 0, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"Once upon a time", "not an image"),
        (b"<html><body>404</body></html>", "not an image (HTML)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image (PostScript)"),
        (b"%PDF-1.7", "not an image (PDF)"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not an image (video)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "not supported (JPEG 2000)"),
        (b"\xff\x4f\xff\x51\0\x2f", "not supported (JPEG 2000)"),
        (b"8BPS\0\1", "not supported (Photoshop PSD)"),
        (b"\0\0\2\0\0\0\0\0", "not supported (TGA, or a Windows cursor)"),
        (b"II*\0\x10\0\0\0CR\2\0", "not supported (camera raw, CR2)"),
        (b'<?xml version="1.0"?>\n<svg xmlns=""/>', "not supported (SVG)"),
        (bytes(5000), "damaged: it begins with zeros only"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n",
            "Git LFS pointer: run git lfs pull",
        ),
    ],
)
def test_what_is_no_image_is_said(data, expected):
    assert reason(data) == expected


def test_files_that_cannot_be_opened(tmp_path):
    assert reason(tmp_path / "none.jpg") == "cannot be opened: No such file or directory"
    assert reason(tmp_path) == "a folder"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "not a regular file"
    assert "null" in reason(tmp_path / "a\0b.jpg")
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(2**31)
    assert reason(tmp_path / "huge.jpg") == "damaged: it begins with zeros only"
    with open(tmp_path / "huge.jpg", "r+b") as file:
        file.write(ENCODED["jpeg"])
    assert reason(tmp_path / "huge.jpg") == "2,048 MiB is over the limit of 512"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_without_permission(tmp_path):
    (tmp_path / "secret.png").write_bytes(ENCODED["png"])
    (tmp_path / "secret.png").chmod(0)
    assert reason(tmp_path / "secret.png") == "cannot be opened: Permission denied"


def test_the_error_names_the_file_in_one_line(tmp_path):
    path = tmp_path / "a\nb \udcff.jpg"
    path.write_bytes(b"words")
    with pytest.raises(TortieError, match=r"cannot read '.*a\\x0ab \\xff\.jpg': not an image$"):
        decode(path)
    path.write_bytes(ENCODED["jpeg"])
    assert decode(path).format == "JPEG"


def test_heic_and_avif_without_a_decoder_name_the_extra(monkeypatch):
    for name in ("HEIF", "AVIF"):
        monkeypatch.delitem(pixels_module._PLUGINS, name, raising=False)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)
    assert reason(MORE_MAGIC[2] + b"mif1heic") == "HEIC: install tortie[heic]"
    assert reason(MORE_MAGIC[3] + b"mif1miaf").startswith("AVIF: install tortie[heic]")
    assert reason(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif").startswith("AVIF")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_upright(orientation):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    stored = heif.from_pillow(picture(64, 96))
    stored.save(file, quality=95, exif=exif(orientation).tobytes())
    decoded = decode(file.getvalue())
    seen = SEEN[orientation](np.asarray(picture(64, 96))).astype(int)
    assert (decoded.format, decoded.height, decoded.width) == ("HEIF", *seen.shape[:2])
    assert np.abs(np.asarray(decoded.image) - seen).mean() < 4
    assert reason(file.getvalue()[:-50]) == "truncated"


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_avif_is_upright(orientation):
    plugin = pytest.importorskip("PIL.AvifImagePlugin")
    if not plugin.SUPPORTED:
        pytest.skip("Pillow without AVIF")
    data = saved(picture(64, 96), "AVIF", quality=95, exif=exif(orientation))
    decoded = decode(data)
    seen = SEEN[orientation](np.asarray(picture(64, 96))).astype(int)
    assert (decoded.format, decoded.height, decoded.width) == ("AVIF", *seen.shape[:2])
    assert np.abs(np.asarray(decoded.image) - seen).mean() < 4
    assert reason(data[:-50]) == "truncated"


def test_warnings_of_others_are_left_alone():
    """Pillow's warnings are silent in every thread; the filters are as before afterwards."""
    palette = one("P", 1, (64, 64))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    data = saved(palette, transparency=bytes([255, 0]))
    warned = saved(picture(), "TIFF")[:-2]  # its directory is cut: Pillow warns
    before = list(warnings.filters)

    def work():
        for _ in range(30):
            decode(data)
            with pytest.raises(UnreadableImage):
                decode(warned)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_an_array_that_is_no_image_is_refused_with_its_shape(array):
    with pytest.raises(UnreadableImage, match=re.escape(f"{array.dtype} {array.shape}")):
        decode(array)


def test_an_array_with_alpha_goes_over_white():
    array = np.zeros((1, 2, 4), np.uint8)
    array[0, 0] = (200, 100, 0, 255)
    np.testing.assert_array_equal(np.asarray(decode(array).image), [[[200, 100, 0], [255] * 3]])
