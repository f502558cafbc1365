"""The sweep of LSTMs over an image, line by line, that the Row LSTM (§3.2) and the Diagonal BiLSTM (§3.3) share.

The gates of a line are K_is ⊛ x_i + K_ss ⊛ h_{i-1}, so their derivative is that of the input-to-state map, plus
dK_ss ⊛ h_{i-1}, plus what comes from the line before. The second term needs no sequence: it is one product for all lines
together, outside of the loop, and so is K_ss's gradient. Over several devices that is one exchange instead of one a line.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pixel_rnn_jax.lstm import Recurrence, State, initial_state, line_neighbours, lstm_cell, recurrent_gates


@jax.custom_jvp
def sweep(
    recurrences: tuple[Recurrence, ...],
    gates: tuple[Float[Array, "lines N B gates"], ...],
    inside: Bool[Array, "lines N 1 1"],
) -> tuple[Float[Array, "lines N B h"], ...]:
    """Runs LSTMs over the lines of their maps, all of them in one scan.

    Args:
      recurrences: the parameters of each LSTM.
      gates: K_is ⊛ x of each LSTM, with the bias.
      inside: which pixels of the lines lie in the image; the others keep the initial state.

    Returns:
      The hidden states of each, of the type of the gates.
    """
    return _scan(tuple(recurrence.state_to_state for recurrence in recurrences), _initial(recurrences, gates), gates, inside)


@sweep.defjvp
def _sweep_derivative(primals, tangents):
    recurrences, gates, inside = primals
    d_recurrences, d_gates, _ = tangents
    kernels = tuple(recurrence.state_to_state for recurrence in recurrences)
    outside = _initial(recurrences, gates)
    d_outside = _initial(d_recurrences, gates)
    hidden, derivative = jax.linearize(lambda outside, gates: _scan(kernels, outside, gates, inside), outside, gates)

    def through_kernel(recurrence, outside, hidden, d_gates):
        first = jnp.broadcast_to(outside.hidden, (1, *hidden.shape[1:])).astype(hidden.dtype)
        before = jnp.concatenate([first, hidden[:-1]])
        taps = len(recurrence.state_to_state)
        through = recurrent_gates(recurrence.state_to_state, line_neighbours(outside.hidden, before, taps), hidden.dtype)
        return d_gates + through.astype(d_gates.dtype)

    return hidden, derivative(d_outside, tuple(map(through_kernel, d_recurrences, outside, hidden, d_gates)))


def _initial(recurrences: tuple[Recurrence, ...], gates: tuple[Float[Array, "lines N B gates"], ...]) -> tuple[State, ...]:
    # For each image, and not one for all: its gradient is then summed over the images after the scan.
    return tuple(
        initial_state(recurrence, 1, of_lstm.shape[2]) for recurrence, of_lstm in zip(recurrences, gates, strict=True)
    )


def _scan(
    kernels: tuple[Float[Array, "taps h gates"], ...],
    outside: tuple[State, ...],
    gates: tuple[Float[Array, "lines N B gates"], ...],
    inside: Bool[Array, "lines N 1 1"],
) -> tuple[Float[Array, "lines N B h"], ...]:
    first = tuple(
        State(*(jnp.broadcast_to(state, (inside.shape[1], *state.shape[1:])) for state in of_lstm)) for of_lstm in outside
    )

    def step(states, line):
        line_gates, line_inside = line
        neighbours = [
            line_neighbours(of_lstm.hidden, state.hidden, len(kernel))
            for kernel, of_lstm, state in zip(kernels, outside, states, strict=True)
        ]
        new = tuple(map(lstm_cell, kernels, neighbours, (state.cell for state in states), line_gates))
        states = jax.tree.map(lambda new, initial: jnp.where(line_inside, new, initial), new, outside)
        return states, tuple(state.hidden.astype(of_lstm.dtype) for state, of_lstm in zip(states, gates, strict=True))

    _, hidden = jax.lax.scan(step, first, (gates, inside))
    return hidden
