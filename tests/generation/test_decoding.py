"""Decode steps against the whole network at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, make_model

from pixel_rnn_jax.generation.decoding import decode_row, decode_step, finish_row, scan_on_host, start
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions


def whole_network(model):
    return jax.jit(functools.partial(model.apply, method="numbers"))


@functools.partial(jax.jit, static_argnames="model")
def all_numbers(model, params, images, conditions=UNCONDITIONAL):
    """The `numbers` of all sub-pixels, each computed before its value is written."""

    def step(state, row):
        return decode_row(model, params, state, row, lambda numbers, *place: (images[:, row, *place], numbers))

    state = start(model, params, images.shape[:3], conditions)
    _, numbers = jax.lax.scan(step, state, jnp.arange(images.shape[1]))
    return jnp.moveaxis(numbers, 2, 0).reshape(*images.shape, -1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "channels,levels,size,fields",
    [
        (1, 2, (5, 11), {}),
        (3, 5, (6, 4), {}),
        pytest.param(3, 4, (1, 3), {"residual": False}, marks=pytest.mark.slow),
        (2, 3, (3, 1), {"skip": False, "remat": True}),
        (3, 300, (2, 3), {"input": "embedding", "output": "logistic_mixture"}),
    ],
)
def test_numbers_equal_those_of_the_whole_network(layer, channels, levels, size, fields):
    model, params = make_model(layer, channels=channels, levels=levels, depth=3, features=7, **fields)
    images = np.random.default_rng(1).integers(0, levels, (3, *size, channels))
    expected = whole_network(model)({"params": params}, images)
    np.testing.assert_allclose(all_numbers(model, params, images), expected, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"num_classes": 4}, marks=pytest.mark.slow),
        {"num_classes": 4, "context_channels": 2, "context_scale": 2},
    ],
)
def test_conditional_numbers_equal_those_of_the_whole_network(layer, fields):
    model, params = make_model(layer, channels=3, levels=4, **fields)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 4, (3, 4, 6, 3))
    context = rng.integers(0, 256, (3, 2, 3, 2)) if "context_channels" in fields else None
    conditions = Conditions(context, labels=np.array([3, 0, 1]))
    expected = whole_network(model)({"params": params}, images, **conditions._asdict())
    np.testing.assert_allclose(all_numbers(model, params, images, conditions), expected, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_decode_step_keeps_float32_on_accelerators(layer):
    model, params = make_model(layer, channels=3)

    def first_row(params):
        state = start(model, params, (2, 3, 3))
        state, logits = decode_step(model, params, state, 0, 0, 0)
        return finish_row(model, params, state, 0), logits

    jaxpr = str(jax.make_jaxpr(first_row)(params))
    products = jaxpr.count("dot_general[")
    assert products > 5
    assert jaxpr.count("Precision.HIGHEST, Precision.HIGHEST") + jaxpr.count("precision=Precision.HIGHEST") == products


@pytest.mark.parametrize("layer", LAYERS)
def test_the_work_of_a_decode_step_does_not_grow_with_the_image(layer):
    """Counted by XLA: products and bytes of one step, for images of 16 and of 1,024 pixels."""
    model, params = make_model(layer)

    def costs(size):
        state = jax.eval_shape(functools.partial(start, model, shape=(2, size, size)), params)
        place = jax.ShapeDtypeStruct((), jnp.int32)
        one = jax.jit(functools.partial(decode_step, model), donate_argnums=1)
        return one.lower(params, state, place, place, place).compile()

    small, large = costs(4), costs(32)
    assert large.cost_analysis()["flops"] == small.cost_analysis()["flops"]
    assert large.memory_analysis().temp_size_in_bytes <= small.memory_analysis().temp_size_in_bytes


def test_a_loop_on_the_host_gives_the_same_as_one_on_the_device():
    model, params = make_model("row_lstm", channels=2, levels=4)
    images = np.random.default_rng(1).integers(0, 4, (3, 1, 5, 2)).astype(np.uint8)
    seen = []

    def choose(logits, column, channel):
        seen.append((int(column), int(channel)))
        return images[:, 0, column, channel], np.asarray(logits)

    _, logits = decode_row(model, params, start(model, params, (3, 1, 5)), np.int32(0), choose, scan=scan_on_host)
    assert seen == [divmod(number, 2) for number in range(10)]
    np.testing.assert_allclose(np.stack(logits, 1).reshape(3, 1, 5, 2, 4), all_numbers(model, params, images), atol=1e-6)
