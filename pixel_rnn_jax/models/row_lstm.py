"""The Row LSTM layer (§3.2 of the paper)."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.layer import Layer, Maps, Neighbours, Pixel
from pixel_rnn_jax.models.lstm import LSTM, State, initial_state, lstm_step
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.recurrent_scan import recurrent_scan


class RowLSTMCache(NamedTuple):
    """The layer's input and state at one pixel."""

    x: Float[Array, "B 1 1 2*h"]
    state: State


class RowLSTM(Layer):
    """An LSTM over the rows of an image, from top to bottom, one row at a time.

    The input-to-state convolution (3x1, mask B) reads columns j - 1 and j of the same row. The state-to-state convolution
    (3x1, not masked) reads columns j - 1, j and j + 1 of the row above. So a layer sees the triangle above a pixel.
    """

    def setup(self):
        self.lstm = LSTM(self.config, kernel_width=3, taps=3)
        self.drop = nn.Dropout(self.config.dropout)
        self.up = MaskedConv(self.config, 2 * self.config.features)

    def __call__(self, x: Maps, context: Context | None, train: bool) -> Maps:
        _, height, width, _ = x.shape
        rows = jnp.swapaxes(x, 0, 1)  # [H, B, W, 2h]
        gates = self.lstm.input_gates(rows, None if context is None else jnp.swapaxes(context, 0, 1))
        outside = jnp.asarray(outside_rows(height, width))
        (hidden,) = recurrent_scan((self.lstm.recurrence,), (gates,), outside, self.config.precision)
        hidden = jnp.swapaxes(hidden, 0, 1)  # [B, H, W, h]
        return self.up(self.drop(hidden, deterministic=not train))

    def decode_step(self, x: Pixel, neighbours: Neighbours, context: Context | None) -> tuple[Pixel, RowLSTMCache]:
        left, *above = neighbours[:4]
        window = jnp.concatenate([left.x, x, jnp.zeros_like(x)], 2)  # the mask hides the pixel to the right
        gates = self.lstm.input_gates(window, context, pad=False)
        hidden = jnp.concatenate([cache.state.hidden for cache in above], -1).astype(self.config.dtype)
        cell = neighbours.above.state.cell
        state, _ = lstm_step(self.lstm.recurrence.state_to_state, hidden, cell, gates, self.config.precision)
        return self.up(state.hidden), RowLSTMCache(x, state)

    def outside(self, batch: int) -> RowLSTMCache:
        x = jnp.zeros((batch, 1, 1, 2 * self.config.features), self.config.dtype)
        return RowLSTMCache(x, initial_state(self.lstm.recurrence, batch, 1, 1))


def outside_rows(height: int, width: int) -> Bool[np.ndarray, "{height} 3 {width} 1"]:
    """Where a tap of K_ss reads outside the image: above it, to its left, or to its right."""
    row, tap, column = np.ogrid[:height, -1:2, :width]
    outside = (row == 0) | (column + tap < 0) | (column + tap == width)
    return outside[..., None]
