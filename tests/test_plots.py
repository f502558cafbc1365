import numpy as np
from PIL import Image

from pixel_rnn_jax.plots import UNKNOWN, hide_unknown, save_sheet, to_rgb


def test_levels_are_spread_from_black_to_white():
    images = np.array([0, 8, 16], np.uint8).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(to_rgb(images, 17)[0, 0], [[0] * 3, [128] * 3, [255] * 3])
    colours = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(to_rgb(colours, 6), colours * 51)


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
