"""The scan over the lines of an image, rows (Row LSTM, §3.2) or diagonals (Diagonal BiLSTM, §3.3), and its derivative.

`scan_lines` is the plain scan. `recurrent_scan` is the same scan with its derivative written out, because JAX's derivative
keeps and moves several times as much. Both loops, forwards and backwards, contain only what depends on the line before: one
product, and the gates. The gradient of K_ss is one product over all lines.

A line holds the pixels of all images on one axis, [B*N, ...], so that what is kept has the shape in which it is multiplied.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from pixel_rnn_jax.models.lstm import Recurrence, State, lstm_step, lstm_step_derivative

OWN = 1  # the tap of K_ss that reads the same place in the line before, from which c_{i-1} comes, too


Gates = tuple[Float[Array, "lines B N gates"], ...]  # of each LSTM
Hidden = tuple[Float[Array, "lines B N h"], ...]
Outside = Bool[Array, "lines taps N 1"]  # where a tap of K_ss reads outside the image; everywhere beyond the ends of a line
Line = Float32[Array, "pixels h"]


class Trace(NamedTuple):
    """What the derivative needs of each pixel.

    In bfloat16, which rounds off σ (1 - σ) of saturated gates, the gradient of a trained model differs by 0.4 % from the one
    with gates kept in float32; the bfloat16 products before and after account for 5.6 %.
    """

    neighbours: Float[Array, "*lines pixels inner"]  # h_{i-1}, the hidden states that the taps of K_ss read, side by side
    cell_before: Float32[Array, "*lines pixels h"]  # c_{i-1}
    activations: Float[Array, "*lines pixels gates"]  # [o, f, i, g]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def recurrent_scan(recurrences: tuple[Recurrence, ...], gates: Gates, outside: Outside, precision: str) -> Hidden:
    """Runs LSTMs over the lines of their maps, all in one scan; differentiable in reverse mode, by one scan backwards.

    Takes K_is ⊛ x of each LSTM, with the bias, and returns its hidden states h_i in the same dtype. Outside the image, a tap
    reads the initial state.
    """
    return scan_lines(recurrences, gates, outside, precision)[0]


def scan_lines(
    recurrences: tuple[Recurrence, ...], gates: Gates, outside: Outside, precision: str
) -> tuple[Hidden, tuple[Trace, ...]]:
    """`recurrent_scan`; also returns a `Trace` [lines, B*N, ...] of each LSTM."""

    def step(states, line):
        *line_gates, line_outside = line
        lines = zip(recurrences, states, line_gates, strict=True)
        states, traces = zip(*(_line(*per_lstm, line_outside, precision) for per_lstm in lines), strict=True)
        return states, (tuple(state.hidden.astype(gates[0].dtype) for state in states), traces)

    flat = [_flatten(per_lstm) for per_lstm in gates]
    # The line before the first lies outside the image.
    zero = jnp.zeros((flat[0].shape[1], flat[0].shape[2] // 4), jnp.float32)
    _, (hidden, traces) = jax.lax.scan(step, tuple(State(zero, zero) for _ in recurrences), (*flat, outside))
    return tuple(h.reshape(*per_lstm.shape[:-1], h.shape[-1]) for h, per_lstm in zip(hidden, gates, strict=True)), traces


def _line(
    recurrence: Recurrence, state: State, gates: Float[Array, "pixels gates"], outside: Bool[Array, "taps N 1"], precision: str
) -> tuple[State, Trace]:
    """One line of one LSTM, from the states of the line before."""
    neighbours = _read(state.hidden, recurrence.initial_hidden, outside).astype(gates.dtype)
    cell_before = _select(outside[OWN], recurrence.initial_cell, state.cell)
    state, activations = lstm_step(recurrence.state_to_state, neighbours, cell_before, gates, precision)
    return state, Trace(neighbours, cell_before, activations.astype(gates.dtype))


def _line_derivative(
    recurrence: Recurrence,
    carry: tuple[State, Line],  # derivatives by the line's states and, summed so far, by c_0
    activations: Float[Array, "pixels gates"],
    cell_before: Line,
    d_hidden: Float[Array, "pixels h"],  # derivative by the h_i that the scan returned, which the carry does not contain
    outside: Bool[Array, "taps N 1"],
    precision: str,
) -> tuple[tuple[State, Line], Float[Array, "pixels gates"]]:
    """The backward pass of `_line`: the carry for the line before, and the loss's derivative by the line's gates."""
    d_state, d_initial_cell = carry
    d_state = d_state._replace(hidden=d_state.hidden + d_hidden)
    d_gates, d_cell = lstm_step_derivative(activations, cell_before, d_state)
    d_gates = d_gates.astype(activations.dtype)
    kernel = recurrence.state_to_state.reshape(-1, d_gates.shape[-1]).astype(d_gates.dtype)
    d_neighbours = jnp.matmul(d_gates, kernel.T, precision=precision, preferred_element_type=jnp.float32)
    zero = jnp.zeros_like(recurrence.initial_hidden)
    (d_hidden,) = jax.linear_transpose(lambda hidden: _read(hidden, zero, outside), d_cell)(d_neighbours)
    d_before = State(d_hidden, _select(outside[OWN], 0, d_cell))
    return (d_before, d_initial_cell + _select(~outside[OWN], 0, d_cell)), d_gates


def _read(hidden: Line, initial: Float32[Array, " h"], outside: Bool[Array, "taps N 1"]) -> Float32[Array, "pixels inner"]:
    """The hidden states that the taps of K_ss read in the line before: for pixel n, tap k reads pixel n - 1 + k."""
    taps, size, _ = outside.shape
    padded = jnp.pad(hidden.reshape(-1, size, hidden.shape[-1]), ((0, 0), (OWN, taps - 1 - OWN), (0, 0)))
    read = [jnp.where(outside[tap], initial, padded[:, tap : tap + size]) for tap in range(taps)]
    return jnp.concatenate(read, -1).reshape(len(hidden), taps * hidden.shape[-1])


def _select(condition: Bool[Array, "N 1"], value: Float32[Array, " h"] | int, x: Line) -> Line:
    """`jnp.where` with one condition for all images."""
    return jnp.where(condition, value, x.reshape(-1, len(condition), x.shape[-1])).reshape(x.shape)


def _forward(recurrences, gates, outside, precision: str):
    hidden, traces = scan_lines(recurrences, gates, outside, precision)
    return hidden, (recurrences, traces, outside)


def _backward(
    precision: str, residuals: tuple[tuple[Recurrence, ...], tuple[Trace, ...], Outside], d_hidden: Hidden
) -> tuple[tuple[Recurrence, ...], Gates, None]:
    """The loss's derivatives by each LSTM's parameters and gates, from those by its hidden states."""
    recurrences, traces, outside = residuals

    def step(carries, line):
        *lines, line_outside = line
        lines = zip(recurrences, carries, *lines, strict=True)
        return tuple(zip(*(_line_derivative(*per_lstm, line_outside, precision) for per_lstm in lines), strict=True))

    zero = jnp.zeros_like(traces[0].cell_before[0])
    last = tuple((State(zero, zero), zero) for _ in recurrences)
    activations, cells_before = (tuple(getattr(trace, name) for trace in traces) for name in ("activations", "cell_before"))
    flat = tuple(_flatten(d) for d in d_hidden)
    carries, d_gates = jax.lax.scan(step, last, (activations, cells_before, flat, outside), reverse=True)
    d_gates = tuple(d.reshape(*d_hidden[0].shape[:-1], d.shape[-1]) for d in d_gates)
    d_initial_cells = [jnp.sum(d_initial_cell, 0) for _, d_initial_cell in carries]
    lstms = zip(recurrences, traces, d_gates, d_initial_cells, strict=True)
    return tuple(_recurrence_derivative(*per_lstm, outside, precision) for per_lstm in lstms), d_gates, None


def _recurrence_derivative(
    recurrence: Recurrence,
    trace: Trace,
    d_gates: Float[Array, "lines B N gates"],
    d_initial_cell: Float32[Array, " h"],
    outside: Outside,
    precision: str,
) -> Recurrence:
    kernel = recurrence.state_to_state
    d_kernel = jnp.einsum(
        "lph,lpg->hg", trace.neighbours, _flatten(d_gates), precision=precision, preferred_element_type=jnp.float32
    )
    # Where tap k reads h_0, its derivative is K_ss[k] times that by the gates. Summed first, the gates leave a small product.
    d_lines = jnp.sum(d_gates, 1, dtype=jnp.float32)[:, None]  # [lines, 1, N, gates]
    d_outside = jnp.sum(jnp.where(outside, d_lines, 0), (0, 2))  # [taps, gates]
    return Recurrence(d_kernel.reshape(kernel.shape), jnp.sum(kernel * d_outside[:, None], (0, 2)), d_initial_cell)


def _flatten(maps: Float[Array, "lines B N features"]) -> Float[Array, "lines B*N features"]:
    return maps.reshape(len(maps), -1, maps.shape[-1])


recurrent_scan.defvjp(_forward, _backward)
