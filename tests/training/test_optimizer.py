import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, make_model
from flax import traverse_util

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.config import MuonConfig, OptimizerConfig
from pixel_rnn_jax.training.optimizer import learning_rate_schedule, make_optimizer, muon_dimensions


def make_config(muon=(), **fields):
    muon = MuonConfig(**{"adam_learning_rate": 0.01, "weight_decay": 0.0, **dict(muon)})
    return OptimizerConfig(**{"name": "adam", "learning_rate": 0.1, "warmup": 1 / 11, **fields}, muon=muon)


def first_update(optimizer, gradient, params):
    """As NumPy arrays."""
    update = jax.jit(lambda gradient, params: optimizer.update(gradient, optimizer.init(params), params)[0])
    return jax.device_get(update(gradient, params))


def test_warm_up_then_cosine_or_constant():
    cosine = learning_rate_schedule(make_config(), 110)
    np.testing.assert_allclose([cosine(step) for step in (0, 5, 10, 60, 110)], [0, 0.05, 0.1, 0.05, 0], atol=1e-7)
    constant = learning_rate_schedule(make_config(schedule="constant"), 110)
    np.testing.assert_allclose([constant(step) for step in (0, 5, 10, 60, 110)], [0, 0.05, 0.1, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize("name,first", [("adam", 1.0), ("rmsprop", 10**0.5)])
def test_gradients_are_clipped_before_their_mean_square_is_taken(name, first):
    """A first step is lr * g / sqrt(v): Adam's v is g², RMSProp's a tenth of it. The second gradient, ten thousand times as
    large, counts as one of norm 1, the same as the first."""
    optimizer = make_optimizer(make_config(name=name, warmup=0, schedule="constant"), 10)
    params = jnp.zeros(2)
    update = jax.jit(optimizer.update)
    step, state = update(jnp.array([0.6, 0.8]), jax.jit(optimizer.init)(params), params)
    np.testing.assert_allclose(step, [-0.1 * first] * 2, rtol=1e-4)
    clipped, _ = update(jnp.array([6e3, 8e3]), state, params)
    same, _ = update(jnp.array([0.6, 0.8]), state, params)
    np.testing.assert_allclose(clipped, same, rtol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_muon_makes_the_update_of_each_matrix_orthogonal_and_leaves_the_rest_to_adam(layer):
    """Each layer of the stacked kernels by itself: all singular values of an update are about one size. Adam's first step is
    as large in every entry."""
    _, params = make_model(layer, depth=3, num_classes=2)
    optimizer = make_optimizer(make_config(name="muon", warmup=0, schedule="constant", clip_norm=1e9), 10)
    rng = np.random.default_rng(1)
    gradient = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), params)
    updates = traverse_util.flatten_dict(first_update(optimizer, gradient, params))
    taken = {path for path, dimensions in traverse_util.flatten_dict(muon_dimensions(params)).items() if dimensions}
    for path, update in updates.items():
        if path in taken:
            matrices = np.asarray(update).reshape(3 if "layers" in path else 1, -1, update.shape[-1])
            for matrix in matrices:
                sizes = np.linalg.svd(matrix, compute_uv=False) / (0.1 * 0.2 * max(matrix.shape) ** 0.5)
                assert 0.3 < sizes.min() <= sizes.max() < 1.3, path
        else:
            # With Nesterov's momentum a first step of Adam is its rate times 1 + β (1 - β) / (1 - β²) in every entry.
            np.testing.assert_allclose(np.abs(update), 0.01 * (1 + 0.9 / 1.9), rtol=1e-3, err_msg="/".join(path))
    matrices = {"/".join(path) for path in updates if path[-1] in ("kernel", "state_to_state") and "head" not in path}
    assert {"/".join(path) for path in taken} == matrices


def test_muon_decays_only_the_weights_that_it_takes():
    _, params = make_model("row_lstm", depth=1)
    optimizer = make_optimizer(make_config(name="muon", warmup=0, schedule="constant", muon={"weight_decay": 0.5}), 10)
    zero = jax.tree.map(np.zeros_like, params)
    updates = traverse_util.flatten_dict(first_update(optimizer, zero, params))
    flat = traverse_util.flatten_dict(params)
    for path, dimensions in traverse_util.flatten_dict(muon_dimensions(params)).items():
        np.testing.assert_allclose(updates[path], -0.1 * 0.5 * flat[path] if dimensions else 0 * flat[path], rtol=1e-5)


@pytest.mark.parametrize(
    "field,value,rule",
    [
        ("adam_learning_rate", 0.0, "must be greater than 0"),
        ("consistent_rms", float("inf"), "must be greater than 0, and finite"),
        ("momentum", 1.0, r"must be in \[0, 1\)"),
        ("weight_decay", -0.1, "must be 0 or more"),
    ],
)
def test_fields_of_muon_are_checked(field, value, rule):
    with pytest.raises(InputError, match=rf"optimizer\.muon\.{field} {rule}.*; got {value}"):
        make_optimizer(make_config(name="muon", muon={field: value}), 10)
