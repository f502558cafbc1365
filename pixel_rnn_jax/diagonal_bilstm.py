"""The Diagonal BiLSTM layer (§3.3 of the paper)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixel_rnn_jax.conv import MaskedConv
from pixel_rnn_jax.lstm import LSTM, Recurrence, initial_state, lstm_step
from pixel_rnn_jax.skew import skew, unskew


class DiagonalBiLSTM(nn.Module):
    """Sweeps over the diagonals of the image, from the left and from the right; a diagonal at a time.

    The input-to-state convolution is 1x1 (mask B); the state-to-state convolution of size 2x1 (no mask) reads the left and the
    upper neighbour. The two directions see, together, everything above and to the left of a pixel.

    Attributes:
      features: h, the number of hidden features of each direction; the map that runs through has 2h.
      channels: number of colour channels.
      dropout: share of the hidden features that is dropped in training.
    """

    features: int
    channels: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 2*{self.features}"], train: bool) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the layer's output, before the residual addition (Figure 5, right)."""
        left_gates, left_lstm = LSTM(self.features, self.channels, kernel_width=1, taps=2, name="left")(x)
        right_gates, right_lstm = LSTM(self.features, self.channels, kernel_width=1, taps=2, name="right")(x)
        # From the right: the image is flipped, swept from the left, and flipped back.
        left, right = sweep_diagonals((left_lstm, right_lstm), (left_gates, right_gates[:, :, ::-1]))
        # "To prevent the layer from seeing future pixels, the right output map is then shifted down by one row."
        right = jnp.pad(right[:, :-1, ::-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(left + right)
        return MaskedConv(2 * self.features, self.channels, name="up")(hidden)


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
    batch, height, width, _ = gates[0].shape
    rows = jnp.arange(height)[:, None, None]
    outside = tuple(initial_state(recurrence, height, batch) for recurrence in recurrences)

    def step(states, column):
        index, column_gates = column
        states = tuple(map(lstm_step, recurrences, states, column_gates))
        # Cells to the left of the image keep the initial state, which is what its first column reads. Those to its right
        # are read by one another only.
        states = jax.tree.map(lambda new, initial: jnp.where(index >= rows, new, initial), states, outside)
        return states, tuple(state.hidden for state in states)

    columns = tuple(jnp.transpose(skew(g), (2, 1, 0, 3)) for g in gates)  # [W+H-1, H, B, 4h]
    _, hidden = jax.lax.scan(step, outside, (jnp.arange(width + height - 1), columns))
    return tuple(unskew(jnp.transpose(h, (2, 1, 0, 3))) for h in hidden)  # [B, H, W, h]
