import os

import numpy as np
import pytest
from PIL import Image

from pixel_rnn_jax.plots import UNKNOWN, hide_unknown, save_animation, save_curves, save_histogram, save_sheet, to_rgb


def test_levels_are_spread_from_black_to_white():
    images = np.array([0, 8, 16], np.uint8).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(to_rgb(images, 17)[0, 0], [[0] * 3, [128] * 3, [255] * 3])
    colours = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(to_rgb(colours, 6), colours * 51)
    transparent = np.array([[[[200, 100, 0, 255], [200, 100, 0, 51], [200, 100, 0, 0]]]], np.uint8)  # shown on white
    assert to_rgb(transparent, 256)[0, 0].tolist() == [[200, 100, 0], [244, 224, 204], [255, 255, 255]]


def test_unknown_pixels_are_painted_over():
    rgb = np.full((1, 2, 2, 3), 7, np.uint8)
    hidden = hide_unknown(rgb, np.array([[True, False], [False, True]]))
    np.testing.assert_array_equal(hidden[0], [[[7] * 3, UNKNOWN], [UNKNOWN, [7] * 3]])


def test_a_sheet_holds_the_images_row_by_row(tmp_path):
    rgb = np.arange(4, dtype=np.uint8).repeat(4 * 3).reshape(4, 2, 2, 3) * 10
    save_sheet(tmp_path / "sheet", rgb, columns=2, min_width=60)  # scale 10, gap 5
    with Image.open(tmp_path / "sheet") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (55, 55, 3)
    centres = [pixels[15, 15, 0], pixels[15, 40, 0], pixels[40, 15, 0], pixels[40, 40, 0]]
    np.testing.assert_array_equal(centres, [0, 10, 20, 30])


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_draws_the_unknown_pixels_one_by_one(tmp_path, ending):
    rgb = np.array([[[0, 50, 100], [150, 200, 250]]], np.uint8)[..., None].repeat(3, -1)
    known = np.array([[True, False, False], [True, True, False]])
    save_animation(
        tmp_path / f"a.{ending}", rgb, known, np.arange(6).reshape(2, 3), columns=1, min_width=40
    )  # scale 10, gap 5
    frames = []
    with Image.open(tmp_path / f"a.{ending}") as animation:
        for frame in range(animation.n_frames):
            animation.seek(frame)
            frames.append(np.asarray(animation.convert("RGB"))[10::10, 10::10][:2, :3].astype(int))
    unknown = np.array([0, 1, 1, 0, 0, 1], bool)
    for frame, drawn in zip(frames, ([], [1], [1, 2], [1, 2, 5]), strict=True):
        expected = rgb[0].reshape(6, 3).astype(int)
        expected[np.setdiff1d(np.flatnonzero(unknown), drawn)] = UNKNOWN
        np.testing.assert_allclose(frame.reshape(6, 3), expected, atol=3)


def test_a_run_that_was_validated_before_its_first_row_of_training_has_curves(tmp_path):
    save_curves(tmp_path / "c.png", {"": [{"step": 5, "validation_bits_per_dim": 2.0}]})
    with Image.open(tmp_path / "c.png") as picture:
        assert np.unique(np.asarray(picture)).size > 2


def test_names_of_any_letters_are_drawn(tmp_path):
    name = os.fsdecode(b"caf\xe9, $a$_$b$ and $5")
    save_histogram(tmp_path / "h.png", {name: np.arange(5.0)}, title=name)
    save_curves(tmp_path / "c.png", {name: [{"step": 5, "validation_bits_per_dim": 2.0}]}, title=name)
    for file in ("h.png", "c.png"):
        with Image.open(tmp_path / file) as picture:
            picture.verify()
