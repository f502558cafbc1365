import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.generation import batched
from pixel_rnn_jax.generation.batched import _batch_size, _stage_fns, generate, seconds_to_generate
from pixel_rnn_jax.generation.decoding import start
from pixel_rnn_jax.generation.sampling import completion_key, draw_uniform
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.multi_scale import pixel_order, stages
from pixel_rnn_jax.models.output import make_output
from pixel_rnn_jax.parallel.mesh import make_mesh


@functools.partial(jax.jit, static_argnames="model")
def slowly_completed(model, params, key, images, known, **conditions):
    """The slow twin: the whole network, anew for each sub-pixel."""
    batch, height, width, channels = images.shape
    uniform = draw_uniform(key, jnp.arange(batch), images.shape[1:])
    in_order = np.argsort(pixel_order(model.config, height, width), axis=None)

    def draw(index, images):
        pixel, channel = jnp.divmod(index, channels)
        place = (*jnp.unravel_index(jnp.asarray(in_order)[pixel], (height, width)), channel)
        numbers = model.apply({"params": params}, images, **conditions, method="numbers")[:, *place]
        drawn = make_output(model.config).pick(numbers, uniform[:, *place], 1.0).astype(images.dtype)
        value = jnp.where(known[:, *place[:2]], images[:, *place], drawn)
        return images.at[:, *place].set(value)

    return jax.lax.fori_loop(0, height * width * channels, draw, jnp.where(known[..., None], images, 0))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("channels,size", [pytest.param(1, (7, 9), marks=pytest.mark.slow), (3, (5, 4))])
def test_samples_and_completions_equal_the_slow_twins(layer, channels, size):
    model, params = make_model(layer, channels=channels, levels=4)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (5, *size, channels)).astype(np.uint8)
    key = jax.random.key(3)
    nothing, something = np.zeros((5, *size), bool), rng.random((5, *size)) < 0.4
    np.testing.assert_array_equal(
        prnn.sample(model, params, key, num=5, size=size), slowly_completed(model, params, key, images, nothing)
    )
    np.testing.assert_array_equal(
        prnn.complete(model, params, key, images, something),
        slowly_completed(model, params, completion_key(key), images, something),
    )


@pytest.mark.parametrize(
    "fields,conditions",
    [
        ({"num_classes": 3}, {"labels": np.array([2, 0, 1, 1, 0])}),
        (
            {"context_channels": 1, "context_scale": 2},
            {"context": np.arange(5 * 2 * 4, dtype=np.uint8).reshape(5, 2, 4, 1) * 6},
        ),
        pytest.param({"sizes": (2, 4), "num_classes": 3}, {"labels": np.array([2, 0, 1, 1, 0])}, marks=pytest.mark.slow),
    ],
)
def test_conditional_samples_equal_the_slow_twins(fields, conditions):
    model, params = make_model("diagonal_bilstm", channels=2, levels=4, **fields)
    params = jax.tree.map(lambda leaf: 3 * leaf, params)  # so that the conditions matter
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (5, 4, 8, 2)).astype(np.uint8)
    known = rng.random((5, 4, 8)) < 0.4
    key = jax.random.key(3)
    completed = prnn.complete(model, params, key, images, known, **conditions)
    expected = slowly_completed(model, params, completion_key(key), images, known, **conditions)
    np.testing.assert_array_equal(completed, expected)
    drawn = prnn.sample(model, params, key, num=5, size=(4, 8), **conditions)
    np.testing.assert_array_equal(drawn, slowly_completed(model, params, key, images, np.zeros((5, 4, 8), bool), **conditions))
    other = jax.tree.map(lambda array: array[::-1], conditions)
    assert np.any(completed != prnn.complete(model, params, key, images, known, **other))


@pytest.mark.parametrize(
    "layer,fields",
    [
        ("diagonal_bilstm", {}),
        pytest.param("pixel_cnn", {"sizes": (2, 4), "num_classes": 3}, marks=pytest.mark.slow),
    ],
)
def test_batches_over_devices_give_the_same_images(layer, fields):
    """In batches of 8, over 8 devices; the last one is not full."""
    model, params = make_model(layer, channels=3, levels=4, **fields)
    rng = np.random.default_rng(0)
    images, known = rng.integers(0, 4, (11, 2, 4, 3)), rng.random((11, 2, 4)) < 0.4
    conditions = {"labels": np.arange(11) % 3} if fields else {}
    mesh = make_mesh()
    assert mesh.size == 8
    options = {"conditions": Conditions(**conditions), "temperature": 0.5, "batch_size": 5, "mesh": mesh}
    drawn = generate(model, params, completion_key(jax.random.key(3)), images, known, **options)
    alone = prnn.complete(model, params, jax.random.key(3), images, known, temperature=0.5, **conditions)
    np.testing.assert_array_equal(drawn.images, alone)
    assert np.any(alone != prnn.complete(model, params, jax.random.key(3), images, known, **conditions))
    log_prob = prnn.log_prob(model, params, drawn.images, **conditions)
    np.testing.assert_allclose(drawn.log_probs.sum((1, 2, 3)), log_prob, rtol=1e-5)


def test_each_device_holds_its_share():
    """Of the memory too: what comes from all devices has the shapes that one device alone would hold."""
    model, params = make_model("diagonal_bilstm")
    begin, _ = _stage_fns(*stages(model.config), make_mesh())
    images = np.zeros((8, 3, 4, 1), np.uint8)
    uniform = np.zeros(images.shape, np.float32)
    state, _ = jax.eval_shape(begin, params, images, np.zeros((8, 3, 4), bool), uniform, UNCONDITIONAL)
    chex.assert_trees_all_equal_shapes(state, jax.eval_shape(lambda params: start(model, params, (8, 3, 4)), params))


def test_no_images_are_completed_to_none():
    model, params = make_model("row_lstm")
    drawn = generate(
        model, params, jax.random.key(0), np.zeros((0, 3, 4, 1), int), np.ones((3, 4), bool), batch_size=5, mesh=make_mesh()
    )
    assert drawn.images.shape == drawn.log_probs.shape == (0, 3, 4, 1)


def test_an_image_does_not_depend_on_how_many_are_drawn():
    few, many = (draw_uniform(jax.random.key(0), jnp.arange(num), (4, 4, 1)) for num in (3, 6))
    np.testing.assert_array_equal(few, many[:3])
    assert np.all(many[:3] != many[3:])


def test_samples_follow_the_models_distribution():
    """The frequencies of all images of a tiny size, against their exact probabilities."""
    model, params = make_model("pixel_cnn", levels=3)
    count = 20_000
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), num=count, size=(2, 1)))
    assert images.dtype == np.uint8
    every = np.array([(a, b) for a in range(3) for b in range(3)], np.uint8).reshape(9, 2, 1, 1)
    expected = np.exp(prnn.log_prob(model, params, every))
    frequencies = [np.mean(np.all(images == image, (1, 2, 3))) for image in every]
    np.testing.assert_allclose(frequencies, expected, atol=4 * np.sqrt(0.25 / count))


@pytest.mark.parametrize("fields", [{}, {"sizes": (2, 4)}])
def test_a_completion_is_independent_of_a_sample_drawn_with_the_same_key(fields):
    """The known half of a drawn image is not completed to that image."""
    model, params = make_model("row_lstm", levels=4, depth=1, **fields)
    known = np.broadcast_to(np.arange(4)[:, None] < 2, (4, 4))
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        drawn = np.asarray(prnn.sample(model, params, key, num=50, size=(4, 4)))
        completed = np.asarray(prnn.complete(model, params, key, drawn, known))
        np.testing.assert_array_equal(completed[:, :2], drawn[:, :2])
        assert np.all(np.any(completed != drawn, (1, 2, 3)))


def test_colours_are_drawn_in_order():
    model, params = make_model("row_lstm", channels=2, levels=2)
    count = 20_000
    images = np.asarray(prnn.sample(model, params, jax.random.key(1), num=count, size=(1, 1)))
    every = np.array([(a, b) for a in range(2) for b in range(2)], np.uint8).reshape(4, 1, 1, 2)
    expected = np.exp(prnn.log_prob(model, params, every))
    frequencies = [np.mean(np.all(images == image, (1, 2, 3))) for image in every]
    np.testing.assert_allclose(frequencies, expected, atol=4 * np.sqrt(0.25 / count))


def test_completion_keeps_the_known_pixels_and_ignores_the_others():
    model, params = make_model("diagonal_bilstm", channels=3, levels=4)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (6, 3, 4, 3))
    known = rng.random((6, 3, 4)) < 0.5
    complete = functools.partial(prnn.complete, model, params, jax.random.key(2))
    full = np.asarray(complete(images, known))
    np.testing.assert_array_equal(full[known], images[known])
    garbage = np.where(known[..., None], images, 200)
    np.testing.assert_array_equal(complete(garbage, known), full)


def test_pixels_before_the_first_unknown_one_decide_the_rest():
    """Drawn pixels follow p(x_i | x_<i): after a known first pixel, the frequencies of the second are its conditional."""
    model, params = make_model("diagonal_bilstm", levels=3)
    first = np.full((20_000, 1, 2, 1), 2, np.uint8)
    drawn = np.asarray(prnn.complete(model, params, jax.random.key(0), first, np.array([[True, False]])))[:, 0, 1, 0]
    logits = jax.jit(model.apply)({"params": params}, first[:1])[0, 0, 1, 0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 20_000, jax.nn.softmax(logits), atol=0.015)


def test_a_mask_for_all_images_is_the_same_as_one_for_each():
    model, params = make_model("pixel_cnn")
    images = np.random.default_rng(0).integers(0, 2, (4, 3, 3, 1))
    known = np.array([[True] * 3, [True, False, False], [False] * 3])
    shared = prnn.complete(model, params, jax.random.key(0), images, known)
    np.testing.assert_array_equal(
        shared, prnn.complete(model, params, jax.random.key(0), images, np.repeat(known[None], 4, 0))
    )


@pytest.mark.parametrize("temperature", [1e-6, 1e-40, 1e-60])
def test_low_temperature_takes_the_most_probable_value(temperature):
    model, params = make_model("row_lstm", levels=5)
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), num=3, size=(2, 3), temperature=temperature))
    assert np.all(images == images[0])
    logits = jax.jit(model.apply)({"params": params}, images)
    np.testing.assert_array_equal(np.argmax(logits, -1), images)


def test_keys_of_both_kinds_and_sizes_of_any_kind():
    model, params = make_model("row_lstm")
    images = prnn.sample(model, params, jax.random.key(3), 2, (4, 3))
    np.testing.assert_array_equal(prnn.sample(model, params, jax.random.PRNGKey(3), 2, np.array([4, 3])), images)


def test_sampling_can_be_jitted_and_repeated():
    model, params = make_model("row_lstm")
    draw = functools.partial(prnn.sample, model, num=2, size=(2, 2))
    eager = draw(params, jax.random.key(5))
    np.testing.assert_array_equal(jax.jit(draw)(params, jax.random.key(5)), eager)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"num": 0}, "num must be an integer of at least 1; got 0"),
        ({"size": (-1, 4)}, "height must be an integer of at least 1; got -1"),
        ({"size": (4, 4, 1)}, r"size must be \(height, width\)"),
        ({"temperature": 0.0}, "temperature must be a number greater than 0; got 0.0"),
        ({"temperature": float("nan")}, "temperature must be a number greater than 0; got nan"),
        ({"temperature": True}, "temperature must be a number greater than 0; got True"),
        ({"temperature": np.ones(2)}, "temperature must be a number greater than 0"),
        ({"key": 0}, r"key must be a random key, such as jax.random.key\(0\); got 0"),
        ({"key": jax.random.split(jax.random.key(0), 3)}, r"key must be one random key; got 3, of which key\[0\] is one"),
        ({"key": np.zeros(4, np.uint32)}, "key must be a random key"),
        ({"key": np.zeros(2, np.float32)}, "key must be a random key"),
    ],
)
def test_bad_sampling_arguments(arguments, message):
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=message):
        prnn.sample(model, params, **{"key": jax.random.key(0), "num": 1, "size": (4, 4), **arguments})


@pytest.mark.parametrize(
    "images,known,message",
    [
        (np.zeros((2, 3, 4, 1), np.uint8), np.ones((4, 3), bool), r"known must be bool of shape \(3, 4\) or \(2, 3, 4\)"),
        (np.zeros((2, 3, 4, 1), np.uint8), np.ones((3, 4), np.uint8), "got uint8"),
        (np.full((2, 3, 4, 1), 3, np.uint8), np.ones((3, 4), bool), r"\[0, 2\); got values from 3 to 3"),
        (np.zeros((2, 3, 4), np.uint8), np.ones((3, 4), bool), "4 axes"),
        (np.zeros((2, 3, 4, 1), bool), np.ones((3, 4), bool), "got dtype bool"),
    ],
)
def test_bad_completion_arguments(images, known, message):
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=message):
        prnn.complete(model, params, jax.random.key(0), images, known)


def test_a_batch_has_at_most_as_many_images_as_there_are_and_not_too_many_pixels():
    assert _batch_size(100, (7, 28, 28, 1)) == 7
    assert _batch_size(100, (200, 28, 28, 1)) == 100
    assert _batch_size(100, (200, 1024, 1024, 3)) == 4
    assert _batch_size(100, (200, 4000, 4000, 3)) == 1


def test_the_time_to_draw_is_estimated_from_one_row(monkeypatch):
    model, params = make_model("row_lstm", depth=1)
    clock = iter([0.0, 5.0, 6.0, 8.0])
    monkeypatch.setattr(batched, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    one = make_mesh(devices=jax.devices()[:1])
    assert seconds_to_generate(model, params, (5, 6, 4, 1), batch_size=2, mesh=one) == 2 * 6 * 3
