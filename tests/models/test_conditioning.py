"""Conditional models: what is given enters where the paper says, and lets nothing else through."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_twin as twin
import pytest
from conftest import LAYERS, make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.context_network import ContextNetwork, prime_factors


@pytest.mark.parametrize("layer", LAYERS)
def test_logits_given_an_image_equal_the_twins(layer):
    """An image that no network processes is, centred, the map that the layers add."""
    model, params = make_model(layer, channels=3, levels=4, context_channels=5, context_levels=9, context_depth=0)
    rng = np.random.default_rng(1)
    images, context = rng.integers(0, 4, (2, 3, 4, 3)), rng.integers(0, 9, (2, 3, 4, 5))
    logits = jax.jit(model.apply)({"params": params}, images, context=context)
    for image, given, image_logits in zip(images, context, logits, strict=True):
        np.testing.assert_allclose(image_logits, twin.logits(image, params, model.config, given / 4 - 1), atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_label_is_a_map_that_is_the_same_everywhere(layer):
    images = np.random.default_rng(1).integers(0, 2, (3, 3, 4, 1))
    labels = np.array([2, 0, 1])
    model, params = make_model(layer, num_classes=3)
    logits = jax.jit(model.apply)({"params": params}, images, labels=labels)
    for image, label, image_logits in zip(images, labels, logits, strict=True):
        given = np.broadcast_to(np.eye(3)[label], (3, 4, 3))
        np.testing.assert_allclose(image_logits, twin.logits(image, params, model.config, given), atol=1e-5)


@pytest.mark.parametrize("scale,levels", [(1, 4), (2, 256), (3, 9)])
def test_the_map_of_a_class_and_an_image_equals_the_twins(scale, levels):
    fields = {"context_channels": 2, "context_scale": scale, "context_levels": levels, "num_classes": 3}
    model, params = make_model("row_lstm", **fields, context_features=4)
    rng = np.random.default_rng(0)
    given, labels = rng.integers(0, levels, (2, 3, 4, 2)), np.array([2, 0])
    shape = (2, 3 * scale, 4 * scale)
    context_map = jax.jit(functools.partial(model.apply, method="context_map"), static_argnums=1)
    maps = context_map({"params": params}, shape, Conditions(given, labels))
    for one, image, label in zip(maps, given, labels, strict=True):
        expected = twin.context_map(image, params, model.config, shape[1:], label)
        np.testing.assert_allclose(one, expected, atol=1e-5)
        assert np.mean(expected[..., 3:] > 0) > 0.1, "not all ReLUs are closed"


@pytest.mark.parametrize("layer", LAYERS)
def test_one_layer_sees_the_map_at_its_own_pixel_and_before_and_no_future_pixel(layer):
    fields = {"context_channels": 2, "context_levels": 4, "context_depth": 0}
    model, params = make_model(layer, channels=2, levels=4, depth=1, **fields)
    images, context = np.random.default_rng(1).integers(0, 4, (2, 1, 3, 4, 2)).astype(np.float32)

    def logits(image, context):
        return model.apply({"params": params}, image[None], context=context[None])[0].sum(-1, where=np.arange(4) > 0)

    by_image, by_context = jax.jit(jax.jacrev(logits, (0, 1)))(images[0], context[0])
    assert not np.any(np.triu(np.asarray(by_image).reshape(24, 24)))
    seen = np.any(np.asarray(by_context).reshape(12, 2, 12, 2), (1, 3))
    assert np.all(np.diag(seen)), "each pixel sees the map at its own place"
    assert not np.any(np.triu(seen, 1)), "through the layers, only what comes before; after it, by the map's own network"
    colours = np.einsum("ijcijk->ijck", np.asarray(by_context))
    assert np.all(np.any(colours, -1)), "the first colour too"


@pytest.mark.parametrize("scale,depth", [(1, 2), (2, 0), (2, 1), (3, 0), (4, 1), (5, 0), (6, 0)])
def test_the_network_sees_what_it_says(scale, depth):
    """Along each axis; along both it is the product."""
    config = make_model("row_lstm", context_channels=1, context_scale=scale, context_depth=depth)[0].config
    network, size = ContextNetwork(config), 7
    shape = (1, size, 1, 1)
    params = jax.jit(network.init)(jax.random.key(0), jnp.zeros(shape))
    params = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.1, params)  # no ReLU is closed, and nothing cancels
    rows = jax.jit(jax.jacrev(lambda x: network.apply(params, x).sum((0, 2, 3))))(jnp.full(shape, 300.0))[:, 0, :, 0, 0]

    field = np.eye(size, dtype=bool)  # [output pixel, pixel of the given image]
    for factor in prime_factors(scale):
        taller = np.zeros((len(field) * factor, size), bool)
        for pixel in range(len(taller)):
            below = pixel // factor
            neighbour = below - 1 if 2 * (pixel % factor) < factor else below + 1
            for one in (below, neighbour):
                if 0 <= one < len(field):
                    taller[pixel] |= field[one]
        field = taller
    for _ in range(depth):
        padded = np.pad(field, ((1, 1), (0, 0)))
        field = padded[:-2] | padded[1:-1] | padded[2:]
    np.testing.assert_array_equal(np.asarray(rows) != 0, field)


@pytest.mark.parametrize(
    "layer,scale,depth,reach",
    [*((layer, 2, 1, 2) for layer in LAYERS), ("row_lstm", 1, 2, 3), ("row_lstm", 4, 0, 1)],
)
def test_given_images_are_seen_ahead_as_far_as_their_network_says(layer, scale, depth, reach):
    """The first pixel sees what its own place in the map shows, no more and no less; and no pixel sees a future pixel."""
    fields = {"context_channels": 1, "context_scale": scale, "context_depth": depth}
    model, params = make_model(layer, channels=3, levels=4, depth=1, features=8, **fields)
    params["context_network"] = jax.tree.map(np.abs, params["context_network"])  # no ReLU of it is closed
    image, given = jnp.ones((4, 4 * scale, 3)), jnp.full((4 // scale, 4, 1), 250.0)

    def logits(image, given):
        return model.apply({"params": params}, image[None], context=given[None])[0, ..., 1]

    by_image, by_given = jax.jit(jax.jacrev(logits, (0, 1)))(image, given)
    assert not np.any(np.triu(np.asarray(by_image).reshape(image.size, image.size)))
    expected = np.zeros(given.shape, bool)
    expected[:reach, :reach] = True
    np.testing.assert_array_equal(np.any(by_given[0, 0], 0), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_class_is_seen_by_every_pixel(layer):
    model, params = make_model(layer, num_classes=2, depth=1)
    images = np.zeros((2, 3, 4, 1), np.uint8)
    first, second = jax.jit(model.apply)({"params": params}, images, labels=np.array([0, 1]))
    assert np.all(first[..., 1] != second[..., 1])


@pytest.mark.parametrize(
    "fields,given",
    [({"num_classes": 2}, {"labels": 1}), ({"context_channels": 1, "context_scale": 2}, {"context": np.array([[[7]]])})],
)
def test_probabilities_of_all_images_add_up_to_one_whatever_is_given(fields, given):
    model, params = make_model("diagonal_bilstm", levels=3, **fields)
    every = np.array(list(itertools.product(range(3), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)
    given = {name: np.broadcast_to(value, (len(every), *np.shape(value))) for name, value in given.items()}
    log_prob = jax.jit(functools.partial(prnn.log_prob, model))(params, every, **given)
    np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, atol=1e-5)


def test_deep_context_images_keep_their_low_bits_in_bfloat16():
    model, params = make_model("pixel_cnn", dtype="bfloat16", context_channels=1, context_levels=65_536)
    contexts = np.array([50_000, 50_040], np.uint16)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint16)
    first, second = model.apply({"params": params}, (2, 4, 4), Conditions(contexts), method="context_map")
    assert np.any(first != second)


IMAGES = np.zeros((2, 4, 6, 1), np.uint8)
CLASSES = {"num_classes": 3}
HALF = {"context_channels": 1, "context_levels": 4, "context_scale": 2}


@pytest.mark.parametrize(
    "fields,given,message",
    [
        (CLASSES, {}, r"labels must be integers \[2\] in \[0, 3\), one for each image, .* got none"),
        (CLASSES, {"labels": np.array([0, 3])}, "got values from 0 to 3"),
        (CLASSES, {"labels": np.array([-1, 0])}, "got values from -1 to 0"),
        (CLASSES, {"labels": np.array([0, 1, 2])}, r"got int64 of shape \(3,\)"),
        (CLASSES, {"labels": np.array([0.0, 1.0])}, r"got float64 of shape \(2,\)"),
        (CLASSES, {"labels": 2}, r"as an array; got int"),
        ({}, {"labels": np.array([0, 1])}, r"labels must be None: .* \(num_classes=0\)"),
        (HALF, {}, r"context must be images of shape \(2, 2, 3, 1\), .* got none"),
        (HALF, {"context": np.zeros((2, 4, 6, 1), int)}, r"shape \(2, 2, 3, 1\); got \(2, 4, 6, 1\)"),
        (HALF, {"context": np.zeros((2, 2, 3), int)}, "context: images must have 4 axes"),
        (HALF, {"context": np.full((2, 2, 3, 1), 4)}, r"context: images must lie in \[0, 4\); got values from 4 to 4"),
        (HALF, {"context": np.zeros((2, 2, 3, 1), bool)}, "context: .* got dtype bool"),
        ({**HALF, "context_scale": 4}, {"context": IMAGES}, r"multiples of 4, by context_scale \(=4\); got 4x6 pixels"),
        ({}, {"context": np.zeros((2, 4, 6, 3), int)}, r"context must be None: .* \(context_channels=0\)"),
        (CLASSES, {"labels": np.array([0, 1]), "context": np.zeros((2, 4, 6, 4))}, "context must be None"),
        (HALF, {"context": [[[[0]]]]}, r"context must be images of shape \(2, 2, 3, 1\), as an array; got list"),
        ({"sizes": (2, 8)}, {}, r"multiples of 4, by sizes \(=\(2, 8\)\); got 4x6 pixels"),
        ({"sizes": (2, 4)}, {"context": np.zeros((2, 4, 6, 3))}, "context must be None"),
        ({"sizes": (2, 4), **CLASSES}, {}, r"labels must be integers \[2\] .* got none"),
    ],
)
def test_what_does_not_fit_is_refused(fields, given, message):
    model, params = make_model("pixel_cnn", **fields)
    with pytest.raises(ValueError, match=message):
        prnn.log_prob(model, params, IMAGES, **given)
    with pytest.raises(ValueError, match=message):
        prnn.complete(model, params, jax.random.key(0), IMAGES, np.ones((4, 6), bool), **given)
    with pytest.raises(ValueError, match=message):
        prnn.compress(model, params, IMAGES, **given)
    if "labels" not in given and "context" not in given:
        with pytest.raises(ValueError, match=message):
            prnn.sample(model, params, jax.random.key(0), num=2, size=(4, 6))


def test_labels_of_any_type_are_the_same_classes():
    model, params = make_model("row_lstm", levels=4, num_classes=300)
    images = np.random.default_rng(0).integers(0, 4, (2, 3, 3, 1)).astype(np.uint8)
    expected = prnn.log_prob(model, params, images, labels=np.array([3, 120]))
    for array in (np.array, jnp.array):
        for dtype in (np.int8, np.uint8):
            nats = prnn.log_prob(model, params, images, labels=array([3, 120], dtype))
            np.testing.assert_array_equal(nats, expected)


def test_parameters_of_other_classes_are_refused():
    images, labels = np.zeros((1, 3, 3, 1), np.uint8), np.array([1])
    (model, _), (_, without) = make_model("row_lstm", num_classes=4), make_model("row_lstm")
    with pytest.raises(ValueError, match=r"context_to_state/kernel must be of shape \(2, 4, 28\); it is absent"):
        prnn.log_prob(model, without, images, labels=labels)
    _, params = make_model("row_lstm", num_classes=5)
    with pytest.raises(
        ValueError, match=r"context_to_state/kernel must be of shape \(2, 4, 28\); it is of shape \(2, 5, 28\)"
    ):
        prnn.log_prob(model, params, images, labels=labels)


@pytest.mark.parametrize("draws", [True, False])
def test_context_images_of_floats_are_refused_where_nothing_is_derived(draws):
    model, params = make_model("row_lstm", context_channels=1)
    context = np.full((1, 3, 3, 1), 0.5, np.float32)
    with pytest.raises(ValueError, match=r"context: images must be integers in \[0, 256\); got dtype float32"):
        if draws:
            prnn.sample(model, params, jax.random.key(0), 1, (3, 3), context=context)
        else:
            prnn.log_prob(model, params, np.zeros((1, 3, 3, 1), np.uint8), context=context)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"num_classes": -1}, "num_classes must be an integer of at least 0; got -1"),
        ({"context_scale": 2}, r"context_scale \(=2\) must be 1 without context_channels"),
        ({"context_channels": 1, "context_levels": 1}, "context_levels must be an integer from 2 to 65536"),
        ({"sizes": (8,)}, r"two or more integers of which each divides the next larger one.* got \(8,\)"),
        ({"sizes": (8, 12)}, r"got \(8, 12\): 8 does not divide 12"),
        ({"sizes": (8, 4)}, "8 does not divide 4"),
        ({"sizes": (4, 4)}, "4 does not divide 4"),
        ({"sizes": (0, 4)}, "each of sizes must be an integer of at least 1; got 0"),
        ({"sizes": 4}, "got 4"),
        ({"sizes": (4, 8), "context_channels": 1}, r"context_channels \(=1\) must be 0 with sizes"),
    ],
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        prnn.ModelConfig(layer="row_lstm", levels=2, channels=1, **fields)


def test_a_model_of_one_size_refuses_sizes():
    config = prnn.ModelConfig(layer="row_lstm", levels=2, channels=1, sizes=[2, 4])
    assert hash(config)
    with pytest.raises(ValueError, match="a MultiScalePixelRNN must have sizes"):
        prnn.MultiScalePixelRNN(make_model("row_lstm")[0].config).init(jax.random.key(0), IMAGES)
    with pytest.raises(ValueError, match=r"with sizes \(=\(2, 4\)\), make a MultiScalePixelRNN"):
        prnn.PixelRNN(config).init(jax.random.key(0), IMAGES)


def given_images(*values):
    """Context images of 2x4 pixels, each black but for its last pixel."""
    images = np.zeros((len(values), 2, 4, 1), int)
    images[:, 1, 3, 0] = values
    return images


@pytest.mark.parametrize(
    "fields,wrong",
    [
        (CLASSES, {"labels": np.array([1, 3, 0, -1])}),
        ({**CLASSES, "sizes": (2, 4)}, {"labels": np.array([1, 3, 0, -1], np.int8)}),
        ({"context_channels": 1, "context_levels": 4}, {"context": given_images(3, 4, 0, -1)}),
        ({"context_channels": 1, "context_depth": 0}, {"context": given_images(255, 256, 0, -1)}),
    ],
    ids=["labels", "labels, by size", "context", "context as it is"],
)
def test_a_traced_condition_out_of_range_never_passes_for_another(fields, wrong):
    model, params = make_model("row_lstm", **fields)
    images = np.random.default_rng(0).integers(0, 2, (4, 2, 4, 1))
    rows = np.array([False, True, False, True])
    right = jax.tree.map(lambda array: np.where(rows.reshape(-1, *[1] * (array.ndim - 1)), 0, array), wrong)
    expected = prnn.log_prob(model, params, images, **right)
    log_prob = jax.jit(prnn.log_prob, static_argnums=0)(model, params, images, **wrong)
    np.testing.assert_allclose(log_prob, np.where(rows, np.nan, expected), rtol=1e-5)


class Swallowing(prnn.PixelRNN):
    """A network in which NaN becomes a number, as in XLA's fused products on a CPU."""

    def numbers(self, images, train=False, context=None, labels=None):
        return jnp.zeros((*images.shape, self.config.levels - 1))


@pytest.mark.parametrize(
    "fields,wrong",
    [(CLASSES, {"labels": np.array([1, 3, 0, -1])}), ({"context_channels": 1}, {"context": given_images(3, 256, 0, -1)})],
    ids=["labels", "context"],
)
def test_a_condition_out_of_range_gives_nan_whatever_the_network_makes_of_it(fields, wrong):
    model = Swallowing(make_model("row_lstm", **fields)[0].config)
    images = jnp.zeros((4, 2, 4, 1), int)
    for method in ("__call__", "log_probs"):
        result = model.apply({}, images, **wrong, method=method)
        assert np.isnan(result).all((1, 2, 3)).reshape(4, -1).any(1).tolist() == [False, True, False, True]


@pytest.mark.parametrize("fields", [{}, {"sizes": (2, 4)}, {"context_channels": 1}])
def test_conditions_may_be_traced(fields):
    """And the gradient by the parameters of the context is not zero."""
    model, params = make_model("row_lstm", num_classes=3, **fields)
    given = Conditions(IMAGES if "context_channels" in fields else None, np.array([0, 2]))

    @jax.jit
    def gradient(params, conditions):
        return jax.grad(lambda params: prnn.log_prob(model, params, IMAGES, *conditions).sum())(params)

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(params, given)):
        assert np.any(leaf), jax.tree_util.keystr(path)
