"""The Diagonal BiLSTM layer (§3.3 of the paper)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.layer import Layer, Maps, Neighbours, Pixel
from pixel_rnn_jax.models.lstm import LSTM, State, initial_state, lstm_step
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.recurrent_scan import recurrent_scan
from pixel_rnn_jax.models.skew import from_diagonals, to_diagonals
from pixel_rnn_jax.platforms import images_side_by_side


class DiagonalCache(NamedTuple):
    """The layer's input at one pixel, or at the pixels of a row, and its states there."""

    x: Float[Array, "*W B 1 1 2*h"]
    left: State  # from the left
    right: Float[Array, "*W B 1 1 h"]  # the hidden state from the right
    shifted: Float[Array, "*W B 1 1 h"]  # the same, as added one row below: zero outside the image, where `right` is h_0


class DiagonalBiLSTM(Layer):
    """Two LSTMs over the diagonals of an image, one from the left and one from the right, one diagonal at a time.

    The input-to-state convolution is 1x1 (mask B). The state-to-state convolution (2x1, not masked) reads the left and the
    upper neighbour. Together the two directions see the layer's input at all pixels above and to the left. No pixel's input
    contains its own last colour: the one of the last pixel of the row above is seen only where the 7x7 stem reaches it.
    """

    def setup(self):
        self.left = LSTM(self.config, kernel_width=1, taps=2)
        self.right = LSTM(self.config, kernel_width=1, taps=2)
        self.drop = nn.Dropout(self.config.dropout)
        self.up = MaskedConv(self.config, 2 * self.config.features)

    def __call__(self, x: Maps, context: Context | None, train: bool) -> Maps:
        batch, height, width, _ = x.shape
        images = images_side_by_side(batch)
        # From the right: the image is flipped, scanned from the left, and flipped back.
        flipped = jax.tree.map(lambda maps: maps[:, :, ::-1], (x, context))
        # The skewed input is not kept for the backward pass, but skewed again where the layers are a loop.
        diagonal_gates = nn.remat(_diagonal_gates, prevent_cse=False, static_argnums=(3,))
        gates = diagonal_gates(self.left, x, context, images), diagonal_gates(self.right, *flipped, images)
        recurrences = self.left.recurrence, self.right.recurrence
        outside = jnp.asarray(outside_diagonals(height, width, images))
        hidden = recurrent_scan(recurrences, gates, outside, self.config.precision)
        left, right = (from_diagonals(per_lstm, images) for per_lstm in hidden)
        # "To prevent the layer from seeing future pixels, the right output map is then shifted down by one row."
        right = jnp.pad(right[:, :-1, ::-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return self.up(self.drop(left + right, deterministic=not train))

    def decode_step(self, x: Pixel, neighbours: Neighbours, context: Context | None) -> tuple[Pixel, DiagonalCache]:
        # The map from the right is shifted down by one row: `finish_row` has computed what it adds here with the row above.
        left, above = neighbours.left, neighbours.above
        gates = self.left.input_gates(x, context)
        hidden = jnp.concatenate([above.left.hidden, left.left.hidden], -1).astype(self.config.dtype)
        state, _ = lstm_step(self.left.recurrence.state_to_state, hidden, left.left.cell, gates, self.config.precision)
        return self.up(state.hidden + above.shifted), DiagonalCache(x, state, above.right, above.shifted)

    def outside(self, batch: int) -> DiagonalCache:
        left = initial_state(self.left.recurrence, batch, 1, 1)
        right = initial_state(self.right.recurrence, batch, 1, 1).hidden
        x = jnp.zeros((batch, 1, 1, 2 * self.config.features), self.config.dtype)
        return DiagonalCache(x, left, right, jnp.zeros_like(right))

    def finish_row(self, row: DiagonalCache, above: DiagonalCache, context: Context | None) -> DiagonalCache:
        """Runs the LSTM from the right over a complete row, from its last pixel to its first."""
        recurrence = self.right.recurrence

        def step(state, pixel):
            gates, above = pixel
            hidden = jnp.concatenate([above, state.hidden], -1).astype(gates.dtype)
            state, _ = lstm_step(recurrence.state_to_state, hidden, state.cell, gates, self.config.precision)
            return state, state.hidden

        x = jnp.moveaxis(row.x[:, :, 0], 0, 2)  # [B, 1, W, 2h]
        gates = jnp.moveaxis(self.right.input_gates(x, context), 2, 0)[:, :, None]  # [W, B, 1, 1, 4h]
        first = initial_state(recurrence, *row.x.shape[1:-1])
        _, right = jax.lax.scan(step, first, (gates, above.right), reverse=True)
        return row._replace(right=right, shifted=right)


def outside_diagonals(height: int, width: int, images: int) -> Bool[np.ndarray, "columns 2 {height} 1"]:
    """Where a tap of K_ss reads outside the image: above it (tap 0) or to its left (tap 1).

    In the skewed map the upper and left neighbours of row n are rows n - 1 and n of the column before. Positions that belong
    to no image are only read by one another.
    """
    column, tap, row = np.ogrid[: images * width + height - 1, :2, :height]
    outside = np.where(tap == 0, row == 0, (column - row) % width == 0)
    return outside[..., None]


def _diagonal_gates(
    lstm: LSTM, x: Float[Array, "B H W in"], context: Context | None, images: int
) -> Float[Array, "columns batch H gates"]:
    """`LSTM.input_gates` as diagonals. Skews the input before K_is, since it has fewer features than the gates."""
    gates = lstm.input_gates(to_diagonals(x, images), None)
    if context is None:
        return gates
    context_gates = lstm.context_to_state(context)
    return gates + to_diagonals(jnp.broadcast_to(context_gates, (*x.shape[:3], context_gates.shape[-1])), images)
