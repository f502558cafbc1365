"""The derivative that is written out equals the plain scan's."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixel_rnn_jax.models.diagonal_bilstm import outside_diagonals
from pixel_rnn_jax.models.lstm import Recurrence
from pixel_rnn_jax.models.recurrent_scan import recurrent_scan, scan_lines
from pixel_rnn_jax.models.row_lstm import outside_rows

BATCH, H = 2, 5
OUTSIDE = {
    "rows": jnp.asarray(outside_rows(4, 3)),
    "diagonals": jnp.asarray(outside_diagonals(3, 4, 1)),
    "two images": jnp.asarray(outside_diagonals(3, 4, 2)),
}


def random(*shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def arguments(outside, count):
    lines, taps, size, _ = outside.shape
    recurrences = tuple(
        Recurrence(random(taps, H, 4 * H, seed=seed), random(H, seed=seed + 10), random(H, seed=seed + 20))
        for seed in range(count)
    )
    return recurrences, tuple(random(lines, BATCH, size, 4 * H, seed=seed + 30) for seed in range(count))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("outside", OUTSIDE.values(), ids=OUTSIDE)
def test_derivative(outside, count):
    def plain(recurrences, gates):
        return scan_lines(recurrences, gates, outside, "highest")[0]

    def derivative(function):
        def loss(arguments):
            hidden = function(*arguments)
            return sum(jnp.sum(jnp.sin((number + 1) * h)) for number, h in enumerate(hidden)), hidden

        return jax.jit(jax.grad(loss, has_aux=True))

    variables = arguments(outside, count)
    results = [
        derivative(function)(variables)
        for function in (lambda *arguments: recurrent_scan(*arguments, outside, "highest"), plain)
    ]
    chex.assert_trees_all_close(*results, rtol=2e-5, atol=2e-5)
    for leaf in jax.tree.leaves(results[0]):
        assert np.any(leaf)


def test_second_derivative():
    """The derivative can itself be differentiated in reverse mode."""
    outside = OUTSIDE["rows"]

    def gradient_norm(function, gates):
        recurrences, _ = arguments(outside, 1)
        gradient = jax.grad(lambda gates: jnp.sum(jnp.sin(function(recurrences, (gates,), outside, "highest")[0])))(gates)
        return jnp.sum(gradient**2)

    (gates,) = arguments(outside, 1)[1]
    written, plain = (
        jax.jit(jax.grad(functools.partial(gradient_norm, function)))(gates)
        for function in (recurrent_scan, lambda *arguments: scan_lines(*arguments)[0])
    )
    np.testing.assert_allclose(written, plain, rtol=1e-4, atol=1e-5)
    assert np.any(plain)


@pytest.mark.parametrize("outside", [OUTSIDE["rows"], OUTSIDE["two images"]], ids=["rows", "two images"])
def test_derivative_in_bfloat16(outside):
    """As accurate as bfloat16 products, also with many saturated gates."""
    recurrences, gates = arguments(outside, 1)

    def derivative(dtype):
        def loss(recurrences, gates):
            (hidden,) = recurrent_scan(recurrences, (gates.astype(dtype),), outside, "highest")
            assert hidden.dtype == dtype
            return jnp.sum(jnp.sin(hidden.astype(jnp.float32)))

        return jax.jit(jax.grad(loss, (0, 1)))(recurrences, 4 * gates[0])

    for low, full in zip(*(jax.tree.leaves(derivative(dtype)) for dtype in (jnp.bfloat16, jnp.float32)), strict=True):
        assert low.dtype == full.dtype == jnp.float32
        assert 0 < np.linalg.norm(low - full) < 0.04 * np.linalg.norm(full)
