"""Encoded images: what is decoded, and what is refused."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from pixel_rnn_jax.cli.pictures import png_bytes
from pixel_rnn_jax.data.decode import decode, fit, read_size
from pixel_rnn_jax.errors import InputError

RNG = np.random.default_rng(0)


def pixels(height=6, width=9, channels=3):
    return RNG.integers(0, 256, (height, width, channels)).astype(np.uint8)


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image.squeeze())).save(file, format, **options)
    file.seek(0)
    return file


def pixels_of_16_bits(channels):
    return RNG.integers(0, 2**16, (6, 9, channels)).astype(np.uint16)


def tiff_of_16_bit_colours(image, order):
    """Written by hand, since Pillow writes none. `order` is the byte order, < or >."""
    height, width, channels = image.shape
    bits, data = 2 + 12 * 9 + 4 + 8, 2 + 12 * 9 + 4 + 8 + 2 * channels
    short, long = (3, "H2x"), (4, "I")
    tags = [(256, short, 1, width), (257, short, 1, height), (258, (3, "I"), channels, bits), (259, short, 1, 1)]
    tags += [(262, short, 1, 2), (273, long, 1, data), (277, short, 1, channels), (278, short, 1, height)]
    tags += [(279, long, 1, 2 * image.size)]
    directory = b"".join(struct.pack(f"{order}HHI{form}", tag, kind, num, value) for tag, (kind, form), num, value in tags)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8) + struct.pack(f"{order}H", len(tags))
    end = struct.pack(f"{order}I{channels}H", 0, *[16] * channels)
    return io.BytesIO(start + directory + end + image.astype(f"{order}u2").tobytes())


@pytest.mark.parametrize(
    "kind,channels",
    [("PNG", 1), ("PNG", 3), ("PNG", 4), ("TIFF", 1), ("TIFF", 3), ("TIFF, big-endian", 3), ("TIFF, compressed", 1)],
)
def test_16_bits_are_kept(kind, channels):
    image = pixels_of_16_bits(channels)
    image[0, 0], image[0, 1] = 0, 2**16 - 1
    if kind == "PNG":
        file = io.BytesIO(png_bytes(image))
    elif channels == 1:
        compression = "tiff_lzw" if kind == "TIFF, compressed" else None
        file = encoded(Image.fromarray(image[..., 0]), "TIFF", compression=compression)
    else:
        file = tiff_of_16_bit_colours(image, ">" if kind == "TIFF, big-endian" else "<")
    found = decode(file, channels=channels, levels=2**16)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, image)
    assert read_size(file, 2**16) == (6, 9)
    means = image.reshape(2, 3, 3, 3, channels).mean((1, 3))
    np.testing.assert_allclose(decode(file, channels=channels, levels=2**16, size=(2, 3)), means, atol=1)


def test_16_bits_of_grey_become_colour():
    image = pixels_of_16_bits(1)
    np.testing.assert_array_equal(decode(encoded(image), channels=3, levels=2**16), image.repeat(3, -1))


@pytest.mark.parametrize(
    "file,channels,levels,message",
    [
        (encoded(np.full((6, 9), 4096, np.uint16)), 1, 4096, r"has values from 4096 to 4096; they must lie in \[0, 4096\)"),
        (encoded(pixels()), 3, 257, "has 8 bits per channel; 257 levels must come in 16 bits, as PNG or TIFF"),
        (encoded(np.ones((6, 9), np.int32), "TIFF"), 1, 4096, "has 32 bits per channel"),
        (encoded(np.ones((6, 9), np.float32), "TIFF"), 1, 256, "has 32 bits per channel"),
        (io.BytesIO(png_bytes(pixels_of_16_bits(3))), 1, 2**16, "has 3 channels of 16 bits, where 1 are expected"),
        (io.BytesIO(png_bytes(pixels_of_16_bits(4))), 3, 2**16, "has 4 channels of 16 bits, where 3 are expected"),
        (encoded(pixels_of_16_bits(1)), 4, 2**16, "has 1 channels of 16 bits, where 4 are expected"),
    ],
)
def test_values_are_neither_cut_nor_spread(file, channels, levels, message):
    with pytest.raises(InputError, match=message):
        decode(file, channels=channels, levels=levels)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_come_back_as_they_were(format, channels):
    image = pixels(channels=channels)
    if format == "WEBP" and channels == 1:
        image = image.repeat(3, -1)
    file = encoded(image, format, **({"lossless": True} if format == "WEBP" else {}))
    np.testing.assert_array_equal(decode(file, channels=image.shape[-1]), image)


def test_colour_becomes_grey_and_grey_colour():
    colour = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    assert decode(encoded(colour), channels=1).ravel().tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)] * 16
    grey = pixels(channels=1)
    np.testing.assert_array_equal(decode(encoded(grey), channels=3), grey.repeat(3, -1))


def test_exif_orientation_is_heeded():
    image = Image.fromarray(pixels(8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    file = encoded(image, "PNG", exif=exif)
    assert read_size(file) == (16, 8)
    np.testing.assert_array_equal(decode(file, channels=3), np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_those_of_pillow(format, orientation):
    image = Image.fromarray(pixels(8, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(image, format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(file))
    assert read_size(file) == expected.size[::-1]
    np.testing.assert_array_equal(decode(file, channels=3), np.asarray(expected))


def test_the_orientation_in_xmp_is_heeded():
    xmp = PngImagePlugin.PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>')
    image = Image.fromarray(pixels(8, 16))
    file = encoded(image, "PNG", pnginfo=xmp)
    assert read_size(file) == (16, 8)
    np.testing.assert_array_equal(decode(file, channels=3), np.rot90(np.asarray(image), -1))


def test_a_second_picture_in_a_jpeg_is_no_animation():
    first = Image.fromarray(pixels(8, 16))
    file = encoded(first, "MPO", save_all=True, append_images=[Image.fromarray(pixels(8, 16))])
    alone = encoded(first, "JPEG")
    np.testing.assert_array_equal(decode(file, channels=3), decode(alone, channels=3))


# A red pixel of a third of opacity on white and on black, and as it is.
@pytest.mark.parametrize("alpha,expected", [("white", (240, 177, 170)), ("black", (70, 7, 0)), ("drop", (210, 20, 0))])
def test_transparency_is_put_on_a_background_or_dropped(alpha, expected):
    red = Image.new("RGBA", (2, 2), (210, 20, 0, 85))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 210, 20, 0])
    for file in (encoded(red), encoded(palette, transparency=b"\x00\x55")):
        assert decode(file, channels=3, alpha=alpha).reshape(4, 3).tolist() == [list(expected)] * 4
    grey = Image.fromarray(np.array([[[100, 0], [100, 255]]], np.uint8))  # with Pillow's mode LA
    shown = {"white": 255, "black": 0, "drop": 100}[alpha]
    assert decode(encoded(grey), channels=1, alpha=alpha).ravel().tolist() == [shown, 100]
    assert decode(encoded(grey), channels=3, alpha=alpha).tolist() == [[[shown] * 3, [100] * 3]]


def test_a_background_comes_before_the_reduction():
    half = np.array([[[200, 100, 0, 0], [200, 100, 0, 255]]] * 2, np.uint8)
    assert decode(encoded(half), channels=3, size=(1, 1), alpha="black").ravel().tolist() == [100, 50, 0]


def test_four_channels_keep_transparency():
    image = pixels(channels=4)
    np.testing.assert_array_equal(decode(encoded(image), channels=4), image)
    opaque = np.full((6, 9, 1), 255, np.uint8)
    np.testing.assert_array_equal(decode(encoded(image[..., :3]), channels=4), np.concatenate([image[..., :3], opaque], -1))


def test_a_link_to_nothing_is_called_that(tmp_path):
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    for name, target in (("gone.png", "nowhere.png"), ("circle.png", "circle.png")):
        with pytest.raises(InputError, match=f"is a link to '{target}', which leads to nothing"):
            decode(tmp_path / name, channels=3)


def test_opaque_alpha_is_dropped():
    image = pixels(channels=3)
    with_alpha = np.concatenate([image, np.full((6, 9, 1), 255, np.uint8)], -1)
    np.testing.assert_array_equal(decode(encoded(with_alpha), channels=3), image)
    palette = Image.fromarray(image).quantize(9)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decode(encoded(palette, transparency=bytes([255] * 9)), channels=3), expected)


@pytest.mark.parametrize(
    "file,message",
    [
        (io.BytesIO(b""), "is no PNG, JPEG, WebP or TIFF image"),
        (io.BytesIO(b"text"), "is no PNG, JPEG, WebP or TIFF image"),
        (encoded(pixels(), "GIF"), "is no PNG, JPEG, WebP or TIFF image"),
        (encoded(pixels(channels=4)), "is transparent"),
        (encoded(Image.fromarray(pixels()).quantize(9), transparency=3), "is transparent"),
        (encoded(pixels(), "WEBP", save_all=True, append_images=[Image.fromarray(pixels())]), r"is animated \(2 frames\)"),
        (encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8))), "more than 8 bits"),
        (io.BytesIO(png_bytes(pixels_of_16_bits(3))), "more than 8 bits"),
        (io.BytesIO(encoded(pixels(64, 64), "JPEG").read()[:1500]), "cannot be decoded"),
        (io.BytesIO(encoded(pixels(64, 64)).read()[:1500]), "cannot be decoded"),
    ],
)
def test_other_files_are_refused(file, message):
    with pytest.raises(InputError, match=message):
        decode(file, channels=3)


def test_fitted_pixels_are_means_of_areas_around_the_centre():
    image = pixels(6, 10)  # cut to 6 x 6, then reduced by 2 each way
    expected = image[:, 2:8].reshape(3, 2, 3, 2, 3).mean((1, 3))
    np.testing.assert_allclose(fit(image, (3, 3)), expected, atol=1)
    assert fit(image, (6, 10)) is image
    with pytest.raises(InputError, match=r"is 6x10 pixels, smaller than data.size \(7x10\)"):
        fit(image, (7, 10))


def test_what_the_machine_cannot_read_is_not_called_damaged(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "x.png")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for owner, name in ((Image, "open"), (Image.Image, "load")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(PermissionError):
                decode(tmp_path / "x.png", channels=1)


def test_an_image_that_is_too_large_is_told(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        InputError, match=r"cannot be decoded \(DecompressionBombError: Image size \(1600 pixels\) exceeds limit"
    ):
        decode(tmp_path / "x.png", channels=1)
