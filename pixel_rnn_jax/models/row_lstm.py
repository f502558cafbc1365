"""The Row LSTM layer (§3.2 of the paper)."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.lstm import LSTM, State, initial_state, lstm_cell
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.neighbours import Neighbours
from pixel_rnn_jax.models.recurrent_scan import recurrent_scan


class RowLSTMCache(NamedTuple):
    """What the layer leaves at a pixel: its input, and the state."""

    x: Float[Array, "B 1 1 2*h"]
    state: State


class RowLSTM(nn.Module):
    """Sweeps from the top row to the bottom row; a row at a time.

    The input-to-state convolution (3x1, mask B) sees columns j - 1 and j of the same row, the state-to-state convolution (3x1,
    no mask) columns j - 1, j and j + 1 of the row above. So one layer sees the triangle above a pixel.

    Attributes:
      features: h, the number of hidden features; the map that runs through has 2h.
      channels: number of colour channels.
      dropout: share of the hidden features that is dropped in training.
      dtype: in which it computes; parameters and states are float32.
    """

    features: int
    channels: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self):
        """Makes the submodules."""
        self.lstm = LSTM(self.features, self.channels, kernel_width=3, taps=3, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.up = MaskedConv(2 * self.features, self.channels, dtype=self.dtype)

    def __call__(
        self, x: Float[Array, "B H W 2*{self.features}"], context: Context | None, train: bool
    ) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the layer's output, before the residual addition (Figure 5, right)."""
        _, height, width, _ = x.shape
        rows = jnp.swapaxes(x, 0, 1)  # [H, B, W, 2h]
        gates = self.lstm.input_gates(rows, None if context is None else jnp.swapaxes(context, 0, 1))
        (hidden,) = recurrent_scan((self.lstm.recurrence,), (gates,), jnp.asarray(outside_rows(height, width)))
        hidden = jnp.swapaxes(hidden, 0, 1)  # [B, H, W, h]
        return self.up(self.drop(hidden, deterministic=not train))

    def decode_step(
        self, x: Float[Array, "B 1 1 2*{self.features}"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float[Array, "B 1 1 2*{self.features}"], RowLSTMCache]:
        """The same output at one pixel, and what the layer leaves there."""
        left, *above = neighbours
        window = jnp.concatenate([left.x, x, jnp.zeros_like(x)], 2)  # nothing reads the pixel to the right
        gates = self.lstm.input_gates(window, context, pad=False)
        hidden = jnp.concatenate([cell.state.hidden for cell in above], -1).astype(self.dtype)
        state, _ = lstm_cell(self.lstm.recurrence.state_to_state, hidden, neighbours.above.state.cell, gates)
        return self.up(state.hidden), RowLSTMCache(x, state)

    def outside(self, batch: int) -> RowLSTMCache:
        """What there is at a pixel outside the image."""
        x = jnp.zeros((batch, 1, 1, 2 * self.features), self.dtype)
        return RowLSTMCache(x, initial_state(self.lstm.recurrence, batch, 1, 1))

    def finish_row(self, row: RowLSTMCache, above: RowLSTMCache, context: Context | None) -> RowLSTMCache:
        """What is left of a row when all its pixels have been visited: no more than before."""
        return row


def outside_rows(height: int, width: int) -> Bool[np.ndarray, "{height} 3 {width} 1"]:
    """Where a tap of K_ss reads what lies outside the image: above it, to its left, and to its right."""
    row, tap, column = np.ogrid[:height, -1:2, :width]
    outside = (row == 0) | (column + tap < 0) | (column + tap == width)
    return outside[..., None]
