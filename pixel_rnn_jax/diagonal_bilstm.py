"""The Diagonal BiLSTM layer (§3.3 of the paper)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pixel_rnn_jax.conditions import Context
from pixel_rnn_jax.conv import MaskedConv
from pixel_rnn_jax.lstm import LSTM, Recurrence, State, initial_state, lstm_cell
from pixel_rnn_jax.neighbours import Neighbours
from pixel_rnn_jax.skew import skew, unskew
from pixel_rnn_jax.sweep import sweep


class DiagonalCell(NamedTuple):
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
    upper neighbour. The two directions see, together, everything above and to the left of a pixel.

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
        gates = self.left.input_gates(x, context), self.right.input_gates(x, context)[:, :, ::-1]
        # From the right: the image is flipped, swept from the left, and flipped back.
        left, right = sweep_diagonals((self.left.recurrence, self.right.recurrence), gates)
        # "To prevent the layer from seeing future pixels, the right output map is then shifted down by one row."
        right = jnp.pad(right[:, :-1, ::-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return self.up(self.drop(left + right, deterministic=not train))

    def visit(
        self, x: Float[Array, "B 1 1 2*{self.features}"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float[Array, "B 1 1 2*{self.features}"], DiagonalCell]:
        """The same output at one pixel, and what the layer leaves there.

        The map from the right is shifted down by one row: what it adds here, `finish_row` has left in the row above.
        """
        left, above = neighbours.left, neighbours.above
        hidden = [above.left.hidden, left.left.hidden]
        state = lstm_cell(self.left.recurrence.state_to_state, hidden, left.left.cell, self.left.input_gates(x, context))
        return self.up(state.hidden + above.shifted), DiagonalCell(x, state, above.right, above.shifted)

    def outside(self, batch: int) -> DiagonalCell:
        """What there is at a pixel outside the image."""
        left = initial_state(self.left.recurrence, batch, 1, 1)
        right = initial_state(self.right.recurrence, batch, 1, 1).hidden
        x = jnp.zeros((batch, 1, 1, 2 * self.features), self.dtype)
        return DiagonalCell(x, left, right, jnp.zeros_like(right))

    def finish_row(self, row: DiagonalCell, above: DiagonalCell, context: Context | None) -> DiagonalCell:
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
            state = lstm_cell(recurrence.state_to_state, [above, state.hidden], state.cell, gates)
            return state, state.hidden

        x = jnp.moveaxis(row.x[:, :, 0], 0, 2)  # [B, 1, W, 2h]
        gates = jnp.moveaxis(self.right.input_gates(x, context), 2, 0)[:, :, None]  # [W, B, 1, 1, 4h]
        first = initial_state(recurrence, *row.x.shape[1:-1])
        _, right = jax.lax.scan(step, first, (gates, above.right), reverse=True)
        return row._replace(right=right, shifted=right)


def sweep_diagonals(
    recurrences: tuple[Recurrence, ...], gates: tuple[Float[Array, "B H W gates"], ...]
) -> tuple[Float[Array, "B H W h"], ...]:
    """Runs LSTMs over the diagonals of their maps, from the top left corner on; all of them in one scan.

    In the skewed map a diagonal is a column, and the left and the upper neighbour of row n are rows n and n - 1 of the column
    before: the two taps of K_ss.

    Args:
      recurrences: the parameters of each LSTM.
      gates: K_is ⊛ x of each LSTM.

    Returns:
      The hidden states of each.
    """
    _, height, width, _ = gates[0].shape
    # Cells to the left of the image keep the initial state, which is what its first column reads. Those to its right are read
    # by one another only.
    inside = jnp.arange(width + height - 1)[:, None] >= jnp.arange(height)
    columns = tuple(jnp.transpose(skew(g), (2, 1, 0, 3)) for g in gates)  # [W+H-1, H, B, 4h]
    hidden = sweep(recurrences, columns, inside[:, :, None, None])
    return tuple(unskew(jnp.transpose(h, (2, 1, 0, 3))) for h in hidden)  # [B, H, W, h]
