import jax.numpy as jnp
import numpy as np
import pytest

from pixel_rnn_jax.skew import skew, unskew


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
