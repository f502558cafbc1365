"""The Multi-Scale PixelRNN: one distribution over whole images, in the order that it says."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_twin as twin
import pytest
from conftest import LAYERS, make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models.multi_scale import log_prob_by_size, pixel_order, stages


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "sizes,channels,levels,size",
    [
        pytest.param((1, 2), 1, 3, (2, 2), marks=pytest.mark.slow),
        pytest.param((1, 2), 1, 2, (2, 6), marks=pytest.mark.slow),
        ((1, 2), 2, 2, (2, 2)),
        ((1, 3), 1, 2, (3, 3)),
    ],
)
def test_probabilities_of_all_images_add_up_to_one(layer, sizes, channels, levels, size):
    model, params = make_model(layer, sizes=sizes, channels=channels, levels=levels)
    shape = (*size, channels)
    every = np.array(list(itertools.product(range(levels), repeat=np.prod(shape))), np.uint8).reshape(-1, *shape)
    log_prob = jax.jit(functools.partial(prnn.log_prob, model))(params, every)
    np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, atol=1e-5)


@pytest.mark.slow
def test_probabilities_of_three_sizes_add_up_to_one():
    model, params = make_model("row_lstm", sizes=(1, 2, 4), depth=1, features=4)
    every = np.array(list(itertools.product((0, 1), repeat=16)), np.uint8).reshape(-1, 4, 4, 1)
    log_prob = jax.jit(functools.partial(prnn.log_prob, model))(params, every)
    np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, atol=1e-4)


def test_the_likelihood_is_that_of_the_small_image_and_of_the_rest_given_it():
    """The two terms of log p(x_s) + log p(x | x_s), by the two networks themselves."""
    model, params = make_model("pixel_cnn", sizes=(2, 4), channels=3, levels=4)
    images = np.random.default_rng(0).integers(0, 4, (5, 4, 4, 3)).astype(np.uint8)
    small, large = (stage.network for stage in stages(model.config))
    x_s = images[:, ::2, ::2]
    log_prob, by_size = (jax.jit(function, static_argnums=0) for function in (prnn.log_prob, log_prob_by_size))
    of_small = log_prob(small, params["size_2"], x_s)
    logits = np.asarray(jax.jit(large.apply)({"params": params["size_4"]}, images, context=x_s))
    of_each = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), images[..., None].astype(int), -1)
    of_each[:, ::2, ::2] = 0
    terms = np.stack([of_small, of_each.sum((1, 2, 3, 4))], 1)
    np.testing.assert_allclose(log_prob(model, params, images), terms.sum(1), rtol=1e-5)
    np.testing.assert_allclose(by_size(model, params, images), terms, rtol=1e-5)
    whole = jax.jit(model.apply)({"params": params}, images)
    of_each = np.take_along_axis(np.asarray(jax.nn.log_softmax(whole)), images[..., None].astype(int), -1)
    np.testing.assert_allclose(of_each.sum((1, 2, 3, 4)), terms.sum(1), rtol=1e-5)


def test_each_pixel_has_its_place_in_the_order():
    config = make_model("row_lstm", sizes=(1, 2, 4))[0].config
    order = pixel_order(config, 4, 4)
    np.testing.assert_array_equal(order, [[0, 4, 1, 5], [6, 7, 8, 9], [2, 10, 3, 11], [12, 13, 14, 15]])
    np.testing.assert_array_equal(pixel_order(make_model("row_lstm")[0].config, 2, 3), [[0, 1, 2], [3, 4, 5]])


def test_logits_equal_the_twins():
    """Those of both networks, with the map that the second one makes of the small image and the class."""
    model, params = make_model("pixel_cnn", sizes=(2, 4), channels=3, levels=4, num_classes=3)
    images, labels = np.random.default_rng(0).integers(0, 4, (2, 4, 4, 3)), np.array([2, 1])
    small, large = (stage.config for stage in stages(model.config))
    logits = jax.jit(model.apply)({"params": params}, images, labels=labels)
    for image, label, image_logits in zip(images, labels, logits, strict=True):
        x_s = image[::2, ::2]
        given = twin.context_map(x_s, params["size_4"], large, (4, 4), label)
        expected = twin.logits(image, params["size_4"], large, given)
        of_class = twin.context_map(None, params["size_2"], small, (2, 2), label)
        expected[::2, ::2] = twin.logits(x_s, params["size_2"], small, of_class)
        np.testing.assert_allclose(image_logits, expected, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_logits_depend_on_what_comes_before_in_that_order_and_on_nothing_else(layer):
    model, params = make_model(layer, sizes=(2, 4), channels=2, levels=4)
    params = jax.tree.map(lambda leaf: 0.5 * np.abs(leaf), params)

    def logits(image):
        return model.apply({"params": params}, image[None])[0, ..., 1]

    jacobian = np.asarray(jax.jit(jax.jacrev(logits))(jnp.full((4, 4, 2), 2.0)))
    order = pixel_order(model.config, 4, 4)[..., None] * 2 + np.arange(2)
    before = order[None, None, None] < order[..., None, None, None]
    assert not np.any(jacobian[~before])
    seen = np.any(jacobian, (2, 5))
    small = [(y, x) for y, x in np.ndindex(4, 4) if y % 2 == x % 2 == 0]
    for pixel in np.ndindex(4, 4):
        if pixel not in small:
            assert all(seen[pixel][one] for one in small), "the whole small image, also what comes after in raster order"
    assert seen[1, 1, 1, 0], "the pixel to the left"
    assert seen[1, 1, 0, 1], "and the one above"
    assert not np.any(seen[2, 2][1]), "a pixel of the small image sees none of the rest"


def test_sizes_are_factors_for_images_of_any_size():
    model, params = make_model("row_lstm", sizes=(2, 4), levels=3)
    images = np.random.default_rng(0).integers(0, 3, (2, 6, 10, 1))
    assert np.all(np.isfinite(jax.jit(functools.partial(prnn.log_prob, model))(params, images)))
    assert prnn.sample(model, params, jax.random.key(0), num=1, size=(2, 6)).shape == (1, 2, 6, 1)


def test_stages_share_no_parameters_and_all_are_trained():
    model, params = make_model("pixel_cnn", sizes=(2, 4, 8), levels=3)
    assert list(params) == ["size_2", "size_4", "size_8"]
    images = np.random.default_rng(0).integers(0, 3, (2, 8, 8, 1))
    gradient = jax.jit(jax.grad(lambda params: prnn.log_prob(model, params, images).sum()))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.any(leaf), jax.tree_util.keystr(path)
