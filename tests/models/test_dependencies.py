import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn


@pytest.mark.parametrize(
    "fields", [{"channels": 2}, pytest.param({"channels": 1, "sizes": (2, 4), "num_classes": 3}, marks=pytest.mark.slow)]
)
def test_dependencies_are_derivatives_of_the_logits(fields):
    model, params = make_model("row_lstm", levels=4, **fields)
    images = np.random.default_rng(0).integers(0, 4, (2, 4, 4, model.config.channels))
    labels = np.array([2, 0]) if model.config.num_classes else None
    derivatives = jax.jacrev(lambda images: model.apply({"params": params}, images, labels=labels)[:, 2, 1, -1])
    jacobian = np.asarray(jax.jit(derivatives)(np.float32(images)))
    jacobian = jacobian - jacobian.mean(1, keepdims=True)
    expected = [abs(jacobian[image, images[image, 2, 1, -1], image]) for image in range(2)]
    found = prnn.dependencies(model, params, images, 2, 1, model.config.channels - 1, labels=labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_nothing_depends_on_what_comes_after():
    model, params = make_model("diagonal_bilstm", channels=2)
    found = np.asarray(prnn.dependencies(model, params, np.zeros((1, 3, 4, 2), int), 1, 2, 1))[0]
    before = np.arange(3 * 4 * 2).reshape(3, 4, 2) < (1 * 4 + 2) * 2 + 1
    np.testing.assert_array_equal(found > 0, before)


@pytest.mark.parametrize(
    "place,message",
    [((4, 0), "row must be an integer from 0 to 3; got 4"), ((0, -1), "column .* got -1"), ((0, 0, 1), "channel .* got 1")],
)
def test_bad_places(place, message):
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=message):
        prnn.dependencies(model, params, np.zeros((1, 4, 4, 1), int), *place)


def test_embedded_values_have_no_derivatives():
    model, params = make_model("row_lstm", input="embedding")
    with pytest.raises(ValueError, match="input='scaled'"):
        prnn.dependencies(model, params, np.zeros((1, 4, 4, 1), int), 0, 0)
