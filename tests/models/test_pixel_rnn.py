"""The whole network: against its twin, what each logit depends on, and normalisation."""

import functools
import itertools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy_twin as twin
import pytest
from conftest import LAYERS, make_model, slow_but

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models import diagonal_bilstm


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "channels,levels,size,fields",
    [
        (1, 2, (5, 4), {}),
        (3, 5, (3, 6), {}),
        (3, 5, (4, 2), {"residual": False}),
        (1, 3, (2, 4), {"skip": False}),
        (2, 3, (1, 1), {"residual": False, "skip": False}),
    ],
)
def test_logits_equal_the_twins(layer, channels, levels, size, fields):
    model, params = make_model(layer, channels=channels, levels=levels, **fields)
    images = np.random.default_rng(1).integers(0, levels, (2, *size, channels))
    logits = jax.jit(model.apply)({"params": params}, images)
    for image, image_logits in zip(images, logits, strict=True):
        np.testing.assert_allclose(image_logits, twin.logits(image, params, model.config), atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("channels,levels,size", [(1, 2, (2, 2)), (1, 3, (3, 1)), (3, 2, (1, 2)), (3, 3, (1, 2))])
def test_probabilities_of_all_images_add_up_to_one(layer, channels, levels, size):
    model, params = make_model(layer, channels=channels, levels=levels)
    shape = (*size, channels)
    every = np.array(list(itertools.product(range(levels), repeat=np.prod(shape))), np.uint8).reshape(-1, *shape)
    log_prob = jax.jit(functools.partial(prnn.log_prob, model))(params, every)
    np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, atol=1e-5)


@pytest.mark.parametrize("layer,nats", [("pixel_cnn", 103.526604), ("row_lstm", 104.085945), ("diagonal_bilstm", 102.809433)])
def test_numbers_stay_what_they_were(layer, nats):
    """So that parameters which an earlier version trained mean the same model; of random ones, drawn in the tree's order."""
    model, params = make_model(layer, channels=3, levels=4)
    images = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) % 4
    np.testing.assert_allclose(-prnn.log_prob(model, params, images).sum(), nats, rtol=1e-5)


@pytest.mark.parametrize("layer", ["pixel_cnn", "row_lstm", "diagonal_bilstm"])
def test_no_images_have_no_likelihoods(layer):
    model, params = make_model(layer, channels=1, levels=4)
    images = jax.numpy.zeros((0, 3, 4, 1), jax.numpy.uint8)
    total, gradient = jax.value_and_grad(lambda params: prnn.log_prob(model, params, images).sum())(params)
    assert total == 0 and not any(map(np.any, jax.tree.leaves(gradient)))


def receptive_field(layer, depth, height, width, channels):
    """Which sub-pixels [H, W, C] the logits of a sub-pixel [H, W, C] depend on, after the paper."""
    field = np.zeros((height, width, channels) * 2, bool)
    for (i, j, c), (y, x, k) in itertools.product(np.ndindex(height, width, channels), repeat=2):
        above = i - y
        if (y, x) == (i, j):
            seen = k < c
        elif above < 0 or (above == 0 and x > j):
            seen = False
        elif layer == "diagonal_bilstm":  # everything before, but for one hole: no feature at a pixel contains the pixel's own
            # last colour, the map from the right is shifted down, and only the stem reaches past that
            hole = (y, x, k) == (i - 1, width - 1, channels - 1) and j + 3 < width - 1
            seen = not hole
        elif above == 0:
            seen = x >= j - 3 - depth
        elif layer == "row_lstm":
            seen = j - 3 - depth - above <= x <= j + 2 + above
        else:
            seen = above <= depth + 3 and j - 3 - depth <= x <= j + min(2 + above, depth + 3)
        field[i, j, c, y, x, k] = seen
    return field


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("channels,features", [(1, 7), (3, 7), pytest.param(3, 16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(5, 5), (3, 11)])
def test_logits_depend_on_what_the_paper_says_and_on_nothing_else(layer, channels, features, size):
    depth = 1 if layer == "diagonal_bilstm" else 2
    model, params = make_model(layer, channels=channels, levels=3, depth=depth, features=features, head_features=30)

    def last_logit(image):
        return model.apply({"params": params}, image[None])[0, ..., -1]

    # Several images, and bright ones, since at a single one a ReLU may happen to close the only way.
    images = np.random.default_rng(1).normal(1, 3, (32, *size, channels)).astype(np.float32)
    depends = np.any(jax.jit(jax.vmap(jax.jacrev(last_logit)))(images) != 0, 0)
    np.testing.assert_array_equal(depends, receptive_field(layer, depth, *size, channels))


def test_products_keep_float32_on_accelerators():
    model, params = make_model("diagonal_bilstm", channels=3)
    images = np.zeros((1, 4, 4, 3), np.uint8)
    jaxpr = str(jax.make_jaxpr(jax.grad(lambda p: prnn.log_prob(model, p, images).sum()))(params))
    products = jaxpr.count("dot_general[")
    assert products > 20
    assert (
        jaxpr.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") + jaxpr.count("precision=Precision.HIGHEST")
        == products
    )


def test_dropout_acts_in_training_only():
    model, params = make_model("pixel_cnn", depth=1, dropout=0.5)
    images = np.ones((2, 2, 2, 1), np.uint8)

    @functools.partial(jax.jit, static_argnames="train")
    def logits(key, train):
        return model.apply({"params": params}, images, train, rngs={"dropout": key})

    evaluated, other_key = (logits(jax.random.key(seed), train=False) for seed in (0, 1))
    np.testing.assert_array_equal(evaluated, other_key)
    trained = [logits(jax.random.key(seed), train=True) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(trained[0], trained[1])
    assert np.any(trained[0] != trained[2])
    assert np.any(trained[0] != evaluated)


@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_does_not_leak(layer):
    model, params = make_model(layer, channels=3, dropout=0.5)

    def logits(image):
        return model.apply({"params": params}, image[None], train=True, rngs={"dropout": jax.random.key(0)})[0, ..., 1]

    jacobian = jax.jit(jax.jacrev(logits))(jnp.ones((3, 4, 3)))
    assert not np.any(np.triu(np.asarray(jacobian).reshape(36, 36)))
    assert np.any(jacobian)


def test_parameters_start_as_documented():
    """Kernels: variance 1 / fan-in, counted over what the mask lets through, and nothing elsewhere; forget gates open."""
    model = prnn.PixelRNN(prnn.ModelConfig(layer="row_lstm", features=64, depth=2, levels=2, channels=1))
    params = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 2, 2, 1), np.uint8))["params"]
    stem = np.asarray(params["stem"]["kernel"])
    assert np.all(stem[3, 3:] == 0)
    assert np.all(stem[4:] == 0)
    assert np.std(stem[stem != 0]) == pytest.approx(24**-0.5, rel=0.05)
    lstm = params["layers"]["row_lstm"]["lstm"]
    np.testing.assert_array_equal(lstm["input_to_state"]["bias"], np.tile(np.repeat([0, 1, 0, 0], 64), (2, 1)))
    kernel = np.asarray(lstm["input_to_state"]["kernel"])
    assert np.all(kernel[:, 0, 2] == 0)
    assert np.std(kernel[:, 0, :2]) == pytest.approx(256**-0.5, rel=0.05)
    assert np.std(lstm["state_to_state"]) == pytest.approx(192**-0.5, rel=0.05)
    assert np.any(kernel[0] != kernel[1])


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"layer": "lstm"}, "layer must be one of pixel_cnn, row_lstm, diagonal_bilstm; got 'lstm'"),
        ({"layer": ["row_lstm"]}, "layer must be"),
        ({"levels": 1}, "levels must be an integer from 2 to 65536; got 1"),
        ({"levels": 65537}, "levels must be"),
        ({"levels": True}, "levels must be"),
        ({"depth": 0}, "depth must be an integer of at least 1; got 0"),
        ({"features": 16.0}, "features must be"),
        ({"channels": None}, "channels must be"),
        ({"channels": 17}, r"features \(=16\) must be at least channels \(=17\)"),
        ({"channels": 3, "head_features": 2}, r"head_features \(=2\)"),
        ({"residual": 1}, "residual must be True or False; got 1"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\); got 1.0"),
        ({"precision": "int4"}, "precision must be one of"),
    ],
)
def test_bad_config_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        prnn.ModelConfig(**{"layer": "row_lstm", "levels": 2, "channels": 1, **fields})


def test_config_is_immutable_and_hashable():
    config = prnn.ModelConfig(layer="row_lstm", levels=2, channels=1)
    assert repr(config) == repr(prnn.ModelConfig(layer="row_lstm", levels=np.int64(2), channels=np.uint8(1)))
    assert hash(config) == hash(prnn.ModelConfig(layer="row_lstm", levels=2, channels=1))
    with pytest.raises(AttributeError):
        config.depth = 3


BAD_IMAGES = [
    (np.zeros((4, 4, 1), np.uint8), "4 axes"),
    (np.zeros((2, 4, 4, 3), np.uint8), r"1 channels .* \(2, 4, 4, 3\)"),
    (np.zeros((2, 0, 4, 1), np.uint8), "at least 1 pixel"),
    (np.zeros((2, 4, 4, 1), bool), "got dtype bool"),
    (np.full((2, 4, 4, 1), 2, np.uint8), r"\[0, 2\); got values from 2 to 2"),
    (np.full((2, 4, 4, 1), -1, np.int32), "from -1 to -1"),
]


@pytest.mark.parametrize("images,message", BAD_IMAGES)
def test_bad_images_are_refused(images, message):
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=message):
        model.apply({"params": params}, images)
    with pytest.raises(ValueError, match=message):
        prnn.log_prob(model, params, images)


def test_shapes_are_checked_while_tracing():
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match="4 axes"):
        jax.jit(functools.partial(prnn.log_prob, model))(params, jnp.zeros((4, 4, 1), jnp.uint8))


@pytest.mark.parametrize("layer", slow_but(LAYERS, "diagonal_bilstm"))
def test_rematerialisation_changes_no_number(layer):
    """Neither the parameters' names nor the gradients, with dropout too."""
    images = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 1)).astype(np.uint8)

    def gradient(remat):
        model, params = make_model(layer, levels=3, depth=2, features=4, dropout=0.3, remat=remat)

        def loss(params):
            logits = model.apply({"params": params}, images, train=True, rngs={"dropout": jax.random.key(1)})
            return jnp.mean(logits[..., 0] ** 2)

        return jax.jit(jax.grad(loss))(params)

    chex.assert_trees_all_close(gradient(True), gradient(False), rtol=1e-5, atol=1e-7)


def test_rematerialisation_needs_less_memory():
    images = jnp.zeros((8, 12, 12, 1), jnp.uint8)

    def memory(remat):
        model, params = make_model("row_lstm", depth=8, features=8, remat=remat)
        gradient = jax.jit(jax.grad(lambda params: jnp.mean(prnn.log_prob(model, params, images))))
        return gradient.lower(params).compile().memory_analysis().temp_size_in_bytes

    assert memory(True) < 0.6 * memory(False)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["row_lstm", "diagonal_bilstm"])
def test_memory_grows_linearly_and_with_rematerialisation_by_the_inputs_of_layers(layer):
    def memory(remat=False, depth=4, images=8, side=12):
        model, params = make_model(layer, depth=depth, features=8, remat=remat)
        loss = lambda params: jnp.mean(prnn.log_prob(model, params, jnp.zeros((images, side, side, 1), jnp.uint8)))  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    plain = memory()
    of_layers = memory(depth=8) - plain
    assert 0 < of_layers < 1.1 * plain
    assert memory(images=16) < 2.1 * plain
    assert memory(side=24) < 4.2 * plain
    of_layers_again = memory(remat=True, depth=8) - memory(remat=True)
    two_maps = 2 * 4 * 8 * 12 * 12 * 2 * 8  # the map that runs through and the skip connections' sum: bytes of float32
    assert of_layers_again < 4 * 1.2 * two_maps < 0.6 * of_layers


@pytest.mark.parametrize("height,width", [(3, 4), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_images_side_by_side_do_not_see_one_another(height, width, monkeypatch):
    """The Diagonal BiLSTM's logits and gradients do not depend on how many images share a skewed map."""
    model, params = make_model("diagonal_bilstm", channels=3, levels=4, num_classes=3)
    images = np.random.default_rng(0).integers(0, 4, (4, height, width, 3)).astype(np.uint8)

    def loss(params, images):
        logits = model.apply({"params": params}, images, labels=np.array([0, 1, 2, 1]))
        return jnp.sum(jnp.sin(logits)), logits

    def with_images(count):
        choice = mock.Mock(return_value=count)
        monkeypatch.setattr(diagonal_bilstm, "images_side_by_side", choice)
        result = jax.jit(jax.grad(loss, has_aux=True))(params, images)
        choice.assert_called_with(4)
        return result

    alone, *others = map(with_images, (1, 2, 4))
    for result in others:
        chex.assert_trees_all_close(result, alone, rtol=1e-4, atol=1e-5)
