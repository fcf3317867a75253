import functools
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy.fft import dctn

from tortie.images import Facts, decode, facts_of, perceptual_hash

FACTS = Facts(4032, 3024, "JPEG", 6, 0xF123456789ABCDEF, bytes(range(256)) * 4)


def saved(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@functools.cache
def scene(seed, width=320, height=256):
    """Blotches of all sizes, as photographs have: each octave half as strong as the one before."""
    random = np.random.default_rng(seed)
    levels = np.full((height, width, 3), 127.0)
    for octave in range(1, 7):
        blotches = random.normal(0, 80 / octave, (2**octave, 2**octave, 3))
        for channel in range(3):
            sheet = Image.fromarray(blotches[..., channel].astype(np.float32))
            levels[..., channel] += np.asarray(sheet.resize((width, height), Image.BICUBIC))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def facts(image, format="PNG", **options):
    return facts_of(decode(saved(image, format, **options)))


def distance(one, other):
    return (one.perceptual_hash ^ other.perceptual_hash).bit_count()


def test_the_thumbnail_is_nearly_a_block_average():
    """320×256 to 32×32: the mean of each 8×10 block, worked by numpy; its edges are softer."""
    grey = np.asarray(scene(0).convert("L")).astype(float)
    expected = grey.reshape(32, 8, 32, 10).mean(axis=(1, 3))
    error = np.frombuffer(facts(scene(0)).thumbnail, np.uint8).reshape(32, 32) - expected
    assert np.abs(error).mean() < 1
    assert np.abs(error).max() < 6


def test_the_hash_is_the_signs_of_the_lowest_frequencies():
    """Oracle: SciPy's DCT. The first four after the mean, by distance and row: 01, 10, 11, 02."""
    thumbnail = facts(scene(1)).thumbnail
    spectrum = dctn(np.frombuffer(thumbnail, np.uint8).reshape(32, 32).astype(float), type=2)
    bits = [int(spectrum[place] > 64) for place in ((0, 1), (1, 0), (1, 1), (0, 2))]
    assert [perceptual_hash(thumbnail) >> shift & 1 for shift in (63, 62, 61, 60)] == bits
    assert 16 < perceptual_hash(thumbnail).bit_count() < 48


def test_the_hash_of_a_ramp_by_hand():
    """Falling to the right: of the cosines along a row, odd ones are positive, even ones zero."""
    ramp = np.tile(np.arange(248, -8, -8, dtype=np.uint8), (32, 1))
    found = perceptual_hash(ramp.tobytes())
    assert found >> 63 == 1  # the slowest cosine, falling as the ramp does
    assert found.bit_count() == 4  # frequencies 1, 3, 5 and 7 of the 8 that count
    assert perceptual_hash(ramp[:, ::-1].tobytes()) == 0
    assert perceptual_hash(ramp.T.tobytes()) >> 62 == 1
    assert perceptual_hash(bytes([200]) * 1024) == 0


def test_the_hash_survives_what_leaves_an_image_the_same():
    for seed in range(8):
        original = facts(scene(seed))
        same = [
            facts(scene(seed), "JPEG", quality=50),
            facts(scene(seed).resize((160, 128), Image.LANCZOS)),
            facts(scene(seed).resize((200, 200), Image.BICUBIC), "WEBP", quality=60),
            facts(ImageEnhance.Brightness(scene(seed)).enhance(0.8)),
            facts(ImageEnhance.Contrast(scene(seed)).enhance(0.7)),
            facts(scene(seed).convert("L"), "JPEG", quality=80),
        ]
        assert max(distance(original, other) for other in same) <= 6


def test_the_hash_tells_images_apart():
    hashes = [facts(scene(seed)) for seed in range(24)]
    pairs = [distance(hashes[i], hashes[j]) for i in range(24) for j in range(i)]
    assert min(pairs) >= 12
    assert distance(hashes[0], facts(ImageOps.mirror(scene(0)))) >= 12


def test_facts_of_a_decode():
    tags = Image.Exif()
    tags[0x0112] = 6
    found = facts(scene(2), "JPEG", exif=tags)
    assert (found.width, found.height, found.format, found.orientation) == (256, 320, "JPEG", 6)
    assert found.reason is None


def test_a_reduced_decode_has_the_same_facts():
    data = saved(scene(3, 1001, 803), "JPEG", quality=95)
    full, reduced = facts_of(decode(data)), facts_of(decode(data, at_least=100))
    assert (full.width, full.height) == (reduced.width, reduced.height) == (1001, 803)
    assert distance(full, reduced) <= 2
    levels = [np.frombuffer(one.thumbnail, np.uint8).astype(int) for one in (full, reduced)]
    assert np.abs(levels[0] - levels[1]).max() <= 2


numbers = st.integers(0, 2**32 - 1)


@given(
    st.builds(
        Facts,
        width=numbers,
        height=numbers,
        format=st.sampled_from(["", "JPEG", "WEBP"]),
        orientation=st.integers(1, 8),
        perceptual_hash=st.integers(0, 2**64 - 1),
        thumbnail=st.binary(max_size=1024),
        reason=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    )
)
def test_what_is_encoded_is_decoded(given_facts):
    assert Facts.decode(given_facts.encode()) == given_facts


def test_the_encoding_by_hand():
    encoded = FACTS.encode()
    assert encoded[:9] == bytes([2]) + (4032).to_bytes(4) + (3024).to_bytes(4)
    assert encoded[-1024:] == FACTS.thumbnail
    assert len(encoded) == 35 + 4 + 1024


@pytest.mark.parametrize(
    "damaged", [b"", b"\1", b"\1" + FACTS.encode()[1:], FACTS.encode()[:-1], FACTS.encode() + b"."]
)
def test_other_bytes_are_refused(damaged):
    with pytest.raises(ValueError, match="facts of"):
        Facts.decode(damaged)


def test_facts_of_an_unreadable_image():
    unreadable = Facts.unreadable("truncated")
    assert (unreadable.reason, unreadable.width, unreadable.thumbnail) == ("truncated", 0, b"")
    assert Facts.decode(unreadable.encode()) == unreadable
