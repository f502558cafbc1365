import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.training.initialization import calm, value_frequencies


def test_frequencies_are_counted_by_channel_with_one_more_of_each():
    images = np.array([[[[0, 2], [1, 2]]]], np.uint8)
    np.testing.assert_allclose(value_frequencies(images, 3), [[2 / 5, 2 / 5, 1 / 5], [1 / 5, 1 / 5, 3 / 5]])


@pytest.mark.parametrize(
    "fields",
    [{"layer": "pixel_cnn"}, {"layer": "row_lstm", "levels": 3, "channels": 3}, {"layer": "pixel_cnn", "sizes": (2, 4)}],
)
def test_a_calm_model_predicts_the_frequencies_whatever_the_image(fields):
    model, params = make_model(**fields)
    levels, channels = model.config.levels, model.config.channels
    images = np.random.default_rng(0).integers(0, levels, (5, 4, 4, channels)).astype(np.uint8)
    frequencies = value_frequencies(images[:2], levels)
    params = calm(params, frequencies, model.config)
    probabilities = jax.jit(lambda images: jax.nn.softmax(model.apply({"params": params}, images)))(images)
    np.testing.assert_allclose(probabilities, np.broadcast_to(frequencies, probabilities.shape), rtol=1e-5)


def test_blocks_that_add_nothing_are_for_residual_networks():
    for residual in (True, False):
        model, params = make_model("pixel_cnn", residual=residual)
        up = calm(params, np.full((1, 2), 0.5), model.config)["layers"]["pixel_cnn"]["up"]["kernel"]
        assert np.any(up) != residual


def test_the_models_own_start_is_another():
    """`init` gives random logits, which show what each of them depends on."""
    model = prnn.PixelRNN(prnn.ModelConfig(layer="pixel_cnn", depth=1, features=4, head_features=4, levels=2, channels=1))
    params = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 2, 2, 1), np.uint8))["params"]
    assert np.all(params["head"]["logits"]["kernel"]) and np.all(params["layers"]["pixel_cnn"]["up"]["kernel"])
