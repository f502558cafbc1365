import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from pixel_rnn_jax.training.optimizer import learning_rate_schedule, make_optimizer


def make_config(**fields):
    return ConfigDict(
        {"name": "adam", "learning_rate": 0.1, "schedule": "cosine", "warmup": 1 / 11, "clip_norm": 1.0, **fields}
    )


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
    state = optimizer.init(params)
    step, state = optimizer.update(jnp.array([0.6, 0.8]), state, params)
    np.testing.assert_allclose(step, [-0.1 * first] * 2, rtol=1e-4)
    clipped, _ = optimizer.update(jnp.array([6e3, 8e3]), state, params)
    same, _ = optimizer.update(jnp.array([0.6, 0.8]), state, params)
    np.testing.assert_allclose(clipped, same, rtol=1e-5)
