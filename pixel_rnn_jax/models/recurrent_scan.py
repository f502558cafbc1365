"""The scan over the lines of an image, rows (Row LSTM, §3.2) or diagonals (Diagonal BiLSTM, §3.3), and its derivative.

`scan_lines` is the plain scan. `recurrent_scan` is the same scan with its derivative written out, because JAX's derivative
keeps and moves several times as much. Both loops, forwards and backwards, contain only what depends on the line before: one
product, and the gates. The gradient of K_ss is one product over all lines.

A line holds the pixels of all images on one axis, so that what is kept has the shape in which it is multiplied. LSTMs that are
scanned together lie on a leading axis, [D, B*N, ...]: each operation of a step is one for all of them, since starting it costs
more than computing it on a GPU.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Float32

from pixel_rnn_jax.models.lstm import Recurrence, State, lstm_step, lstm_step_derivative

OWN = 1  # the tap of K_ss that reads the same place in the line before, from which c_{i-1} comes, too


Gates = tuple[Float[Array, "lines B N gates"], ...]  # of each LSTM
Hidden = tuple[Float[Array, "lines B N h"], ...]
Outside = Bool[Array, "lines taps N 1"]  # where a tap of K_ss reads outside the image; everywhere beyond the ends of a line
Line = Float32[Array, "D pixels h"]


class Trace(NamedTuple):
    """What the derivative needs of each pixel.

    In bfloat16, which rounds off σ (1 - σ) of saturated gates, the gradient of a trained model differs by 0.4 % from the one
    with gates kept in float32; the bfloat16 products before and after account for 5.6 %.
    """

    hidden: Float[Array, "*lines D pixels h"]  # h_i
    cell_before: Float32[Array, "*lines D pixels h"]  # c_{i-1}
    activations: Float[Array, "*lines D pixels gates"]  # [o, f, i, g]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def recurrent_scan(recurrences: tuple[Recurrence, ...], gates: Gates, outside: Outside, precision: str) -> Hidden:
    """Runs LSTMs over the lines of their maps, all in one scan; differentiable in reverse mode, by one scan backwards.

    Takes K_is ⊛ x of each LSTM, with the bias, and returns its hidden states h_i in the same dtype. Outside the image, a tap
    reads the initial state.
    """
    return scan_lines(recurrences, gates, outside, precision)[0]


def scan_lines(recurrences: tuple[Recurrence, ...], gates: Gates, outside: Outside, precision: str) -> tuple[Hidden, Trace]:
    """`recurrent_scan`; also returns the `Trace` of all lines."""
    recurrence = _stack_parameters(recurrences)

    def step(state, line):
        *line_gates, line_outside = line
        return _line(recurrence, state, _stack_lines(line_gates), line_outside, precision)

    flat = [_flatten(per_lstm) for per_lstm in gates]
    # The line before the first lies outside the image.
    zero = jnp.zeros((len(gates), flat[0].shape[1], flat[0].shape[2] // 4), jnp.float32)
    _, trace = jax.lax.scan(step, State(zero, zero), (*flat, outside))
    return tuple(trace.hidden[:, d].reshape(*per_lstm.shape[:-1], zero.shape[-1]) for d, per_lstm in enumerate(gates)), trace


def _line(
    recurrence: Recurrence,
    state: State,
    gates: Float[Array, "D pixels gates"],
    outside: Bool[Array, "taps N 1"],
    precision: str,
) -> tuple[State, Trace]:
    """One line, from the states of the line before."""
    neighbours = _read(state.hidden, recurrence.initial_hidden, outside).astype(gates.dtype)
    cell_before = _select(outside[OWN], recurrence.initial_cell, state.cell)
    state, activations = lstm_step(recurrence.state_to_state, neighbours, cell_before, gates, precision)
    return state, Trace(state.hidden.astype(gates.dtype), cell_before, activations.astype(gates.dtype))


def _line_derivative(
    recurrence: Recurrence,
    carry: tuple[State, Line],  # derivatives by the line's states and, summed so far, by c_0
    activations: Float[Array, "D pixels gates"],
    cell_before: Line,
    d_hidden: Float[Array, "D pixels h"],  # derivative by the h_i that the scan returned, which the carry does not contain
    outside: Bool[Array, "taps N 1"],
    precision: str,
) -> tuple[tuple[State, Line], Float[Array, "D pixels gates"]]:
    """The backward pass of `_line`: the carry for the line before, and the loss's derivative by the line's gates."""
    d_state, d_initial_cell = carry
    d_state = d_state._replace(hidden=d_state.hidden + d_hidden)
    d_gates, d_cell = lstm_step_derivative(activations, cell_before, d_state)
    d_gates = d_gates.astype(activations.dtype)
    kernel = rearrange(recurrence.state_to_state, "D taps h gates -> D gates (taps h)").astype(d_gates.dtype)
    d_neighbours = jnp.matmul(d_gates, kernel, precision=precision, preferred_element_type=jnp.float32)
    zero = jnp.zeros_like(recurrence.initial_hidden)
    (d_hidden,) = jax.linear_transpose(lambda hidden: _read(hidden, zero, outside), d_cell)(d_neighbours)
    d_before = State(d_hidden, _select(outside[OWN], zero, d_cell))
    return (d_before, d_initial_cell + _select(~outside[OWN], zero, d_cell)), d_gates


def _read(
    hidden: Float[Array, "*D pixels h"], initial: Float[Array, "*D h"], outside: Bool[Array, "taps N 1"]
) -> Float[Array, "*D pixels inner"]:
    """The hidden states that the taps of K_ss read in the line before: for pixel n, tap k reads pixel n - 1 + k."""
    taps, size, _ = outside.shape
    images = rearrange(hidden, "... (B N) h -> ... B N h", N=size)
    padded = jnp.pad(images, [(0, 0)] * (images.ndim - 2) + [(OWN, taps - 1 - OWN), (0, 0)])
    read = (padded[..., tap : tap + size, :].reshape(hidden.shape) for tap in range(taps))
    return jnp.concatenate([_select(outside[tap], initial, x) for tap, x in enumerate(read)], -1)


def _select(
    outside: Bool[Array, "N 1"], initial: Float[Array, "*D h"], x: Float[Array, "*D pixels h"]
) -> Float[Array, "*D pixels h"]:
    """x inside the image, and the initial state outside, the same places in all images."""
    images = rearrange(x, "... (B N) h -> ... B N h", N=len(outside))
    return jnp.where(outside, initial[..., None, None, :], images).reshape(x.shape)


def _forward(recurrences, gates, outside, precision: str):
    hidden, trace = scan_lines(recurrences, gates, outside, precision)
    return hidden, (recurrences, trace, outside)


def _backward(
    precision: str, residuals: tuple[tuple[Recurrence, ...], Trace, Outside], d_hidden: Hidden
) -> tuple[tuple[Recurrence, ...], Gates, None]:
    """The loss's derivatives by each LSTM's parameters and gates, from those by its hidden states."""
    recurrences, trace, outside = residuals
    recurrence = _stack_parameters(recurrences)

    def step(carry, line):
        activations, cell_before, *d_line, line_outside = line
        d_line = _stack_lines(d_line)
        carry, d_gates = _line_derivative(recurrence, carry, activations, cell_before, d_line, line_outside, precision)
        return carry, tuple(d_gates)

    zero = jnp.zeros_like(trace.cell_before[0])
    lines = (trace.activations, trace.cell_before, *map(_flatten, d_hidden), outside)
    (_, d_initial_cells), d_gates = jax.lax.scan(step, (State(zero, zero), zero), lines, reverse=True)
    d_gates = tuple(d.reshape(*d_hidden[0].shape[:-1], d.shape[-1]) for d in d_gates)
    d_recurrences = tuple(
        _recurrence_derivative(recurrence, trace.hidden[:, d], d_gates[d], jnp.sum(d_initial_cells[d], 0), outside, precision)
        for d, recurrence in enumerate(recurrences)
    )
    return d_recurrences, d_gates, None


def _recurrence_derivative(
    recurrence: Recurrence,
    hidden: Float[Array, "lines pixels h"],
    d_gates: Float[Array, "lines B N gates"],
    d_initial_cell: Float32[Array, " h"],
    outside: Outside,
    precision: str,
) -> Recurrence:
    # What the taps read is not kept, but read again.
    before = jnp.pad(hidden[:-1], ((1, 0), (0, 0), (0, 0)))
    neighbours = jax.vmap(_read, (0, None, 0))(before, recurrence.initial_hidden.astype(hidden.dtype), outside)
    d_kernel = jnp.einsum(
        "lph,lpg->hg", neighbours, _flatten(d_gates), precision=precision, preferred_element_type=jnp.float32
    )
    # Where tap k reads h_0, its derivative is K_ss[k] times that by the gates. Summed first, the gates leave a small product.
    kernel = recurrence.state_to_state
    d_lines = jnp.sum(d_gates, 1, dtype=jnp.float32)[:, None]  # [lines, 1, N, gates]
    d_outside = jnp.sum(jnp.where(outside, d_lines, 0), (0, 2))  # [taps, gates]
    return Recurrence(d_kernel.reshape(kernel.shape), jnp.sum(kernel * d_outside[:, None], (0, 2)), d_initial_cell)


def _stack_parameters(recurrences: tuple[Recurrence, ...]) -> Recurrence:
    return jax.tree.map(lambda *parameters: jnp.stack(parameters), *recurrences)


def _stack_lines(lines: list[Float[Array, "pixels features"]]) -> Float[Array, "D pixels features"]:
    """`jnp.stack`, by selection: compilers fuse that into the operation that reads it, but do not fuse a concatenation."""
    shape = (len(lines), *lines[0].shape)
    lstm = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    return jax.lax.select_n(lstm, *(jnp.broadcast_to(line, shape) for line in lines))


def _flatten(maps: Float[Array, "lines B N features"]) -> Float[Array, "lines B*N features"]:
    return maps.reshape(len(maps), -1, maps.shape[-1])


recurrent_scan.defvjp(_forward, _backward)
