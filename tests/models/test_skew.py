import jax.numpy as jnp
import numpy as np
import pytest

from pixel_rnn_jax.models.skew import from_diagonals, skew, to_diagonals, unskew


@pytest.mark.parametrize("height,width", [(4, 4), (2, 5), (5, 2), (1, 3), (3, 1)])
def test_skew_moves_each_row_by_one_more_and_unskew_undoes_it(height, width):
    x = np.random.default_rng(0).normal(size=(2, height, width, 3))
    skewed = np.asarray(skew(jnp.asarray(x)))
    assert skewed.shape == (2, height, width + height - 1, 3)
    for i in range(height):
        for column in range(width + height - 1):
            expected = x[:, i, column - i] if 0 <= column - i < width else 0
            np.testing.assert_array_equal(skewed[:, i, column], np.float32(expected))
    np.testing.assert_array_equal(unskew(jnp.asarray(skewed)), np.float32(x))


@pytest.mark.parametrize("images", [1, 2, 4])
def test_diagonals_of_images_side_by_side(images):
    height, width = 3, 2
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, height, width, 5)), jnp.float32)
    diagonals = np.asarray(to_diagonals(x, images))
    assert diagonals.shape == (images * width + height - 1, 4 // images, height, 5)
    for number, row, column in np.ndindex(4, height, width):
        place, offset = divmod(number, images)
        np.testing.assert_array_equal(diagonals[offset * width + column + row, place, row], x[number, row, column])
    np.testing.assert_array_equal(from_diagonals(jnp.asarray(diagonals), images), x)
