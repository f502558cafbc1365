"""The derivative that is taken out of the loop is that of the loop."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixel_rnn_jax.lstm import Recurrence
from pixel_rnn_jax.sweep import _initial, _scan, sweep

LINES, N, BATCH, H = 4, 3, 2, 5


def plain(recurrences, gates, inside):
    """The same scan, of which JAX takes the derivative as it is."""
    return _scan(tuple(recurrence.state_to_state for recurrence in recurrences), _initial(recurrences, gates), gates, inside)


def random(*shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def arguments(taps, count):
    recurrences = tuple(
        Recurrence(random(taps, H, 4 * H, seed=seed), random(H, seed=seed + 10), random(H, seed=seed + 20))
        for seed in range(count)
    )
    gates = tuple(random(LINES, N, BATCH, 4 * H, seed=seed + 30) for seed in range(count))
    inside = jnp.arange(LINES)[:, None] >= jnp.arange(N) if taps == 2 else jnp.ones((LINES, N), bool)
    return recurrences, gates, inside[:, :, None, None]


@pytest.mark.parametrize("taps,count", [(2, 2), (3, 1)], ids=["diagonals", "rows"])
def test_derivatives_both_ways(taps, count):
    *variables, inside = arguments(taps, count)
    directions = jax.tree.map(lambda leaf: random(*leaf.shape, seed=leaf.size), variables)

    def derivatives(function):
        forwards = jax.jvp(lambda *variables: function(*variables, inside), variables, directions)
        return forwards, jax.grad(lambda args: sum(jnp.sum(jnp.sin(h)) for h in function(*args, inside)))(variables)

    results = derivatives(jax.jit(sweep)), derivatives(jax.jit(plain))
    chex.assert_trees_all_close(*results, rtol=2e-5, atol=2e-5)
    _, gradient = results[0]
    for leaf in jax.tree.leaves(gradient):
        assert np.any(leaf)
