import functools
from unittest import mock

import chex
import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models.softmax import Softmax


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


@pytest.mark.parametrize("fields", [{"levels": 3}, {"sizes": (2, 4)}])
def test_log_probs_are_of_each_sub_pixel(fields):
    """Each depends on the sub-pixel itself, and their sum is the log-probability of the image."""
    model, params = make_model("row_lstm", channels=2, **fields)
    images = np.random.default_rng(0).integers(0, 2, (3, 4, 4, 2))
    log_probs = prnn.log_probs(model, params, images)
    logits = jax.jit(model.apply)({"params": params}, images)
    expected = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), images[..., None], -1)[..., 0]
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5)
    np.testing.assert_allclose(log_probs.sum((1, 2, 3)), prnn.log_prob(model, params, images), rtol=1e-5)
    with pytest.raises(ValueError, match=r"images must lie in \[0, "):
        prnn.log_probs(model, params, images + 7)


def test_a_second_call_is_compiled_already():
    model, params = make_model("row_lstm", levels=3, depth=1, features=5)  # a model that no other test has compiled
    images = np.zeros((2, 3, 4, 1), np.uint8)
    with mock.patch.object(Softmax, "log_probs", autospec=True, side_effect=Softmax.log_probs) as traced:
        prnn.log_prob(model, params, images)
        traced.assert_called_once()
        prnn.log_prob(model, params, images + 1)
        prnn.log_probs(model, params, images)
        traced.assert_called_once()


@functools.partial(jax.jit, static_argnums=0)
def descended(model, params, images, key=None):
    """The parameters after a step of a training loop as the guide prints it."""
    gradient = jax.grad(lambda params: -prnn.log_prob(model, params, images, dropout_key=key).mean())(params)
    return jax.tree.leaves(jax.tree.map(lambda leaf, change: leaf - 0.1 * change, params, gradient))


def test_a_loop_trains_with_dropout_if_it_gives_a_key():
    images = np.random.default_rng(0).integers(0, 2, (4, 3, 3, 1))
    (without, params), (model, _) = (make_model("pixel_cnn", depth=1, dropout=dropout) for dropout in (0.0, 0.5))
    plain = descended(without, params, images)
    first, again, other = (descended(model, params, images, jax.random.key(seed)) for seed in (0, 0, 1))
    chex.assert_trees_all_equal(descended(model, params, images), plain)
    chex.assert_trees_all_equal(again, first)
    for one, two in ((first, plain), (first, other)):
        assert any(np.any(leaf != different) for leaf, different in zip(one, two, strict=True))


def test_a_key_for_dropout_is_a_key():
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=r"dropout_key must be a random key, such as jax.random.key\(0\); got 3"):
        prnn.log_prob(model, params, np.zeros((1, 2, 2, 1), int), dropout_key=3)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8, 1), (0, 8, 1), (-8, 8, 1)])
def test_bad_image_shape(shape):
    with pytest.raises(ValueError, match=r"image_shape(: height)? must be .*; got (\(8, 8\)|\(2, 8, 8, 1\)|0|-8)\."):
        prnn.bits_per_dim(1.0, shape)


def test_conditionals_are_the_probabilities_of_all_values():
    model, params = make_model("pixel_cnn", channels=2, levels=3)
    images = np.random.default_rng(0).integers(0, 3, (2, 3, 2, 2))
    found = np.asarray(prnn.conditionals(model, params, images))
    assert found.shape == (2, 3, 2, 2, 3)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    there = np.take_along_axis(found, images[..., None], -1)[..., 0]
    np.testing.assert_allclose(np.log(there), prnn.log_probs(model, params, images), rtol=1e-5)
