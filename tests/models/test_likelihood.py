import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn


def test_bits_per_dim_by_hand():
    assert prnn.bits_per_dim(-12 * np.log(2), (2, 2, 3)) == pytest.approx(1)


def test_log_prob_is_pure_under_jit_and_vmap():
    model, params = make_model("row_lstm", levels=3)
    images = np.random.default_rng(0).integers(0, 3, (4, 3, 3, 1))
    expected = prnn.log_prob(model, params, images)
    np.testing.assert_allclose(jax.jit(prnn.log_prob, static_argnums=0)(model, params, images), expected, rtol=1e-5)
    one = jax.vmap(lambda image: prnn.log_prob(model, params, image[None])[0])(images)
    np.testing.assert_allclose(one, expected, rtol=1e-5)


def test_a_value_out_of_range_never_passes_for_a_likely_one():
    model, params = make_model("row_lstm", levels=3)
    images = np.random.default_rng(0).integers(0, 3, (4, 3, 3, 1))
    expected = np.asarray(prnn.log_prob(model, params, images))
    images[1, 2, 0], images[3, 0, 1] = 3, -1
    with pytest.raises(ValueError, match=r"images must lie in \[0, 3\); got values from -1 to 3"):
        prnn.log_prob(model, params, images)
    log_prob = jax.jit(prnn.log_prob, static_argnums=0)(model, params, images)
    np.testing.assert_allclose(log_prob, np.where([False, True, False, True], np.nan, expected), rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8, 1), (0, 8, 1), (-8, 8, 1)])
def test_bad_image_shape(shape):
    with pytest.raises(ValueError, match=r"image_shape(: height)? must be .*; got (\(8, 8\)|\(2, 8, 8, 1\)|0|-8)\."):
        prnn.bits_per_dim(1.0, shape)
