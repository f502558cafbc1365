"""The loss and its gradient, in microbatches."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_model
from jax.sharding import AbstractDevice, AbstractMesh

import pixel_rnn_jax as prnn
from pixel_rnn_jax import platforms


def batch(model, count=12):
    rng = np.random.default_rng(0)
    images = rng.integers(0, model.config.levels, (count, 4, 6, model.config.channels)).astype(np.uint8)
    context = rng.integers(0, 256, (count, 4, 6, 3)).astype(np.uint8) if model.config.context_channels else None
    labels = rng.integers(0, 3, count) if model.config.num_classes else None
    return images, context, labels


def plain(model, params, images, context=None, labels=None, key=None):
    """The same by JAX alone, all at once."""

    def loss(params):
        train, rngs = (False, {}) if key is None else (True, {"dropout": key})
        conditions = {"context": context, "labels": labels}
        log_probs = model.apply({"params": params}, images, train, **conditions, rngs=rngs, method="log_probs")
        return -log_probs.sum((1, 2, 3)).mean()

    return jax.jit(jax.value_and_grad(loss))(params)


@pytest.mark.parametrize(
    "fields",
    [pytest.param({}, marks=pytest.mark.slow), {"context_channels": 3, "num_classes": 3}],
    ids=["unconditional", "conditional"],
)
def test_it_is_the_gradient_of_the_mean_negative_log_likelihood(fields):
    model, params = make_model("row_lstm", channels=3, levels=4, depth=1, **fields)
    arguments = batch(model)
    expected = plain(model, params, *arguments)
    for microbatches in (0, 1, 3):
        result = prnn.loss_and_grad(model, params, *arguments, microbatches=microbatches)
        chex.assert_trees_all_close(result, expected, rtol=1e-4, atol=1e-4)


def test_microbatches_are_those_that_are_fast(monkeypatch):
    """Twelve images of which a CPU takes four at a time; an accelerator takes all at once."""
    model, params = make_model("pixel_cnn", depth=1)
    monkeypatch.setattr(platforms, "CPU_FEATURES", 4 * 4 * 5 * model.config.features)
    tpu = AbstractMesh((1,), ("data",), abstract_device=AbstractDevice("TPU", 1, "tpu"))
    images = np.zeros((12, 4, 5, 1), np.uint8)  # of a size that no other test has, which would not be traced again
    for function in (prnn.loss_and_grad, prnn.log_prob):
        traced = jax.make_jaxpr(function, static_argnums=0)
        assert "length=3" in str(traced(model, params, images))
        with jax.sharding.use_abstract_mesh(tpu):
            assert "length=3" not in str(traced(model, params, images))


def test_log_prob_in_microbatches_is_the_same_and_can_be_differentiated(monkeypatch):
    model, params = make_model("row_lstm", channels=3, levels=4, num_classes=3, depth=1)
    images, _, labels = batch(model)
    monkeypatch.setattr(platforms, "CPU_FEATURES", 2 * 4 * 6 * model.config.features)

    def loss(params):
        return -prnn.log_prob(model, params, images, labels=labels).mean()

    assert "length=6" in str(jax.make_jaxpr(loss)(params))
    result = jax.jit(jax.value_and_grad(loss))(params)
    chex.assert_trees_all_close(result, plain(model, params, images, labels=labels), rtol=1e-4, atol=1e-4)


def test_each_microbatch_drops_other_features():
    model, params = make_model("pixel_cnn", dropout=0.5, depth=1)
    images = np.repeat(batch(model, 1)[0], 2, 0)
    key = jax.random.key(3)
    once = prnn.loss_and_grad(model, params, images, dropout_key=key, microbatches=1)
    chex.assert_trees_all_close(once, plain(model, params, images, key=key), rtol=1e-4, atol=1e-4)
    loss, _ = prnn.loss_and_grad(model, params, images, dropout_key=key, microbatches=2)
    halves = [plain(model, params, images[:1], key=half)[0] for half in jax.random.split(key, 2)]
    assert abs(halves[0] - halves[1]) > 1e-3
    np.testing.assert_allclose(loss, np.mean(halves), rtol=1e-5)


def test_it_can_be_compiled_and_traced_values_out_of_range_give_nan():
    model, params = make_model("pixel_cnn", depth=1)
    loss, gradient = jax.jit(prnn.loss_and_grad, static_argnums=0)(model, params, jnp.full((2, 3, 3, 1), 7))
    assert np.isnan(loss)
    chex.assert_trees_all_equal_shapes(gradient, params)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"images": np.zeros((6, 3, 3, 2), np.uint8)}, "channels"),
        ({"images": np.full((6, 3, 3, 1), 2, np.uint8)}, "2"),
        ({"labels": np.zeros(6, int)}, "labels"),
        ({"params": {}}, "params"),
        ({"microbatches": 4}, r"microbatches \(=4\) must divide 6"),
        ({"microbatches": -1}, "microbatches must be an integer"),
        ({"dropout_key": 3}, "dropout_key"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_wrong_arguments_are_refused(change, message):
    model, params = make_model("pixel_cnn", depth=1)
    with pytest.raises(ValueError, match=message):
        prnn.loss_and_grad(**({"model": model, "params": params, "images": np.zeros((6, 3, 3, 1), np.uint8)} | change))
