"""The Diagonal BiLSTM layer (§3.3 of the paper)."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.lstm import LSTM, State, initial_state, lstm_cell
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.neighbours import Neighbours
from pixel_rnn_jax.models.recurrent_scan import recurrent_scan
from pixel_rnn_jax.models.skew import from_diagonals, to_diagonals

SIDE_BY_SIDE = 4


class DiagonalCache(NamedTuple):
    """What the layer leaves at a pixel.

    Attributes:
      x: its input.
      left: the state from the left.
      right: the hidden state from the right.
      shifted: the same, as the layer adds it one row below: outside the image it is zero, where `right` is h_0.
    """

    x: Float[Array, "*W B 1 1 2*h"]
    left: State
    right: Float[Array, "*W B 1 1 h"]
    shifted: Float[Array, "*W B 1 1 h"]


class DiagonalBiLSTM(nn.Module):
    """Sweeps over the diagonals of the image, from the left and from the right; a diagonal at a time.

    The input-to-state convolution is 1x1 (mask B); the state-to-state convolution of size 2x1 (no mask) reads the left and the
    upper neighbour. The two directions see, together, the map at everything above and to the left of a pixel. A pixel's
    map lacks its own last colour: that of the last pixel of the row above is seen only as far as the network's stem reaches.

    Attributes:
      features: h, the number of hidden features of each direction; the map that runs through has 2h.
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
        self.left = LSTM(self.features, self.channels, kernel_width=1, taps=2, dtype=self.dtype)
        self.right = LSTM(self.features, self.channels, kernel_width=1, taps=2, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.up = MaskedConv(2 * self.features, self.channels, dtype=self.dtype)

    def __call__(
        self, x: Float[Array, "B H W 2*{self.features}"], context: Context | None, train: bool
    ) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the layer's output, before the residual addition (Figure 5, right)."""
        batch, height, width, _ = x.shape
        images = side_by_side(batch)
        # From the right: the image is flipped, swept from the left, and flipped back.
        flipped = jax.tree.map(lambda maps: maps[:, :, ::-1], (x, context))
        gates = _gates_of_diagonals(self.left, x, context, images), _gates_of_diagonals(self.right, *flipped, images)
        recurrences = self.left.recurrence, self.right.recurrence
        hidden = recurrent_scan(recurrences, gates, jnp.asarray(outside_diagonals(height, width, images)))
        left, right = (from_diagonals(one_lstm, images) for one_lstm in hidden)
        # "To prevent the layer from seeing future pixels, the right output map is then shifted down by one row."
        right = jnp.pad(right[:, :-1, ::-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return self.up(self.drop(left + right, deterministic=not train))

    def decode_step(
        self, x: Float[Array, "B 1 1 2*{self.features}"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float[Array, "B 1 1 2*{self.features}"], DiagonalCache]:
        """The same output at one pixel, and what the layer leaves there.

        The map from the right is shifted down by one row: what it adds here, `finish_row` has left in the row above.
        """
        left, above = neighbours.left, neighbours.above
        hidden = jnp.concatenate([above.left.hidden, left.left.hidden], -1).astype(self.dtype)
        state, _ = lstm_cell(self.left.recurrence.state_to_state, hidden, left.left.cell, self.left.input_gates(x, context))
        return self.up(state.hidden + above.shifted), DiagonalCache(x, state, above.right, above.shifted)

    def outside(self, batch: int) -> DiagonalCache:
        """What there is at a pixel outside the image."""
        left = initial_state(self.left.recurrence, batch, 1, 1)
        right = initial_state(self.right.recurrence, batch, 1, 1).hidden
        x = jnp.zeros((batch, 1, 1, 2 * self.features), self.dtype)
        return DiagonalCache(x, left, right, jnp.zeros_like(right))

    def finish_row(self, row: DiagonalCache, above: DiagonalCache, context: Context | None) -> DiagonalCache:
        """Advances the direction from the right over a row whose pixels have all been visited, from its last pixel on.

        Args:
          row: what the layer left at the row's pixels, [W, B, 1, 1, ...].
          above: likewise, of the row above.
          context: of the row's pixels.

        Returns:
          `row`, with the hidden states from the right.
        """
        recurrence = self.right.recurrence

        def step(state, pixel):
            gates, above = pixel
            neighbours = jnp.concatenate([above, state.hidden], -1).astype(gates.dtype)
            state, _ = lstm_cell(recurrence.state_to_state, neighbours, state.cell, gates)
            return state, state.hidden

        x = jnp.moveaxis(row.x[:, :, 0], 0, 2)  # [B, 1, W, 2h]
        gates = jnp.moveaxis(self.right.input_gates(x, context), 2, 0)[:, :, None]  # [W, B, 1, 1, 4h]
        first = initial_state(recurrence, *row.x.shape[1:-1])
        _, right = jax.lax.scan(step, first, (gates, above.right), reverse=True)
        return row._replace(right=right, shifted=right)


def side_by_side(batch: int) -> int:
    """How many images of a batch lie side by side in the skewed map.

    Skewed, one image fills half of its cells, W / (W + H - 1); four fill 4W / (4W + H - 1), in four times as many columns.
    That pays where the time goes into the products, as on a CPU, and not where each step of a scan has its price.
    """
    return math.gcd(batch, SIDE_BY_SIDE) if jax.default_backend() == "cpu" else 1


def outside_diagonals(height: int, width: int, images: int) -> Bool[np.ndarray, "columns 2 {height} 1"]:
    """Where a tap of K_ss reads what lies outside the image: above it (tap 0), or to its left (tap 1).

    In the skewed map the neighbours of row n are rows n - 1 and n of the column before. Cells outside of all images are read
    by one another only.
    """
    column, tap, row = np.ogrid[: images * width + height - 1, :2, :height]
    outside = np.where(tap == 0, row == 0, (column - row) % width == 0)
    return outside[..., None]


def _gates_of_diagonals(
    lstm: LSTM, x: Float[Array, "B H W in"], context: Context | None, images: int
) -> Float[Array, "columns batch H gates"]:
    """`LSTM.input_gates`, skewed: the input first, which has fewer features than the gates; the context's share afterwards."""
    gates = lstm.input_gates(to_diagonals(x, images), None)
    if context is None:
        return gates
    of_context = lstm.context_to_state(context)
    return gates + to_diagonals(jnp.broadcast_to(of_context, (*x.shape[:3], of_context.shape[-1])), images)
