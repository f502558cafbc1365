"""The Row LSTM layer (§3.2 of the paper)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixel_rnn_jax.conv import MaskedConv
from pixel_rnn_jax.lstm import LSTM, initial_state, lstm_step


class RowLSTM(nn.Module):
    """Sweeps from the top row to the bottom row; a row at a time.

    The input-to-state convolution (3x1, mask B) sees columns j - 1 and j of the same row, the state-to-state convolution (3x1,
    no mask) columns j - 1, j and j + 1 of the row above. So one layer sees the triangle above a pixel.

    Attributes:
      features: h, the number of hidden features; the map that runs through has 2h.
      channels: number of colour channels.
      dropout: share of the hidden features that is dropped in training.
    """

    features: int
    channels: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 2*{self.features}"], train: bool) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the layer's output, before the residual addition (Figure 5, right)."""
        batch, _, width, _ = x.shape
        gates, recurrence = LSTM(self.features, self.channels, kernel_width=3, taps=3, name="lstm")(x)

        def step(state, row):
            state = lstm_step(recurrence, state, row)
            return state, state.hidden

        rows = jnp.transpose(gates, (1, 2, 0, 3))  # [H, W, B, 4h]
        _, hidden = jax.lax.scan(step, initial_state(recurrence, width, batch), rows)
        hidden = jnp.transpose(hidden, (2, 0, 1, 3))  # [B, H, W, h]
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        return MaskedConv(2 * self.features, self.channels, name="up")(hidden)
