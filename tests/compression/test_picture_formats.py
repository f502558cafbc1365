import numpy as np
import pytest

from pixel_rnn_jax.compression.picture_formats import encoded_sizes, webp_bits
from pixel_rnn_jax.errors import InputError


def test_random_images_take_what_they_hold():
    """Nothing compresses noise: bits come out as bits, bytes as bytes, beside headers."""
    rng = np.random.default_rng(0)
    bits = encoded_sizes(rng.integers(0, 2, (50, 32, 32, 1)).astype(np.uint8), 2)
    assert 50 * 128 < bits["PNG"] < 1.1 * 50 * 128
    for channels in (1, 3):
        images = rng.integers(0, 256, (3, 32, 32, channels)).astype(np.uint8)
        for size in encoded_sizes(images, 256).values():
            assert images.size < size < 1.1 * images.size


def test_the_smaller_of_sheet_and_single_files_counts():
    small, large = np.zeros((100, 4, 4, 1), np.uint8), np.zeros((1, 64, 64, 1), np.uint8)
    assert encoded_sizes(small, 2)["PNG"] < 100
    assert encoded_sizes(large, 2)["PNG"] < 100


def test_images_that_are_no_pictures():
    assert encoded_sizes(np.zeros((1, 4, 4, 2), np.uint8), 2) == {}
    assert encoded_sizes(np.zeros((1, 1, 20_000, 1), np.uint8), 2) == {}


def test_images_may_have_any_type_of_integers():
    images = np.random.default_rng(0).integers(0, 2, (3, 8, 8, 1))
    assert encoded_sizes(images, 2) == encoded_sizes(images.astype(np.uint8), 2)
    assert list(encoded_sizes(images.astype(np.uint8), 1000)) == ["PNG"]
    with pytest.raises(InputError, match=r"must lie in \[0, 2\); got values from 1 to 2"):
        encoded_sizes(images + 1, 2)


def test_16_bits_are_sized_as_grey_png():
    images = np.random.default_rng(0).integers(0, 2**16, (9, 32, 32, 1)).astype(np.uint16)
    sizes = encoded_sizes(images, 2**16)
    assert list(sizes) == ["PNG"]
    assert images.nbytes < sizes["PNG"] < 1.1 * images.nbytes
    assert encoded_sizes(images.repeat(3, -1), 2**16) == {}


def test_each_image_has_its_own_size_as_a_webp_file():
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        images = np.concatenate(
            [np.zeros((1, 32, 32, channels), np.uint8), rng.integers(0, 256, (2, 32, 32, channels), np.uint8)]
        )
        plain, *noise = webp_bits(images, 256)
        assert plain < 8 * 100
        assert all(8 * 1024 * channels < bits < 1.1 * 8 * 1024 * channels for bits in noise)
    for images, levels in ((np.zeros((2, 4, 4, 2), np.uint8), 256), (np.zeros((2, 4, 4, 1), np.uint16), 1024)):
        assert np.isnan(webp_bits(images, levels)).tolist() == [True, True]
