import jax.numpy as jnp
import numpy as np
from conftest import make_model


def test_each_value_of_each_channel_has_a_vector_of_its_own():
    model, params = make_model("pixel_cnn", channels=3, levels=4, input="embedding", embedding_features=2)
    images = np.random.default_rng(0).integers(0, 4, (2, 3, 5, 3))
    found = model.apply({"params": params}, jnp.asarray(images), method=lambda model, images: model.input(images))
    expected = params["input"]["vectors"][np.arange(3), images]
    np.testing.assert_array_equal(found, expected.reshape(2, 3, 5, 6))


def test_scaled_values_lie_between_minus_one_and_one():
    model, params = make_model("pixel_cnn", channels=2, levels=5)
    images = np.array([0, 1, 2, 3, 4, 4]).reshape(1, 1, 3, 2)
    found = model.apply({"params": params}, jnp.asarray(images), method=lambda model, images: model.input(images))
    np.testing.assert_allclose(found.ravel(), [-1, -0.5, 0, 0.5, 1, 1])
