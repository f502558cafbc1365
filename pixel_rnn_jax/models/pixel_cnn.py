"""The PixelCNN's residual block (§3.5 and Figure 5, left, of the paper)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.live_units import report_live
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.neighbours import Neighbours


class PixelCNNBlock(nn.Module):
    """1x1 from 2h to h, 3x3, 1x1 from h back to 2h; a ReLU before each convolution; all of mask B.

    Attributes:
      features: h; the map that runs through has 2h features.
      channels: number of colour channels.
      dropout: share of the features before the last convolution that is dropped in training.
      dtype: in which it computes; parameters are float32.
    """

    features: int
    channels: int
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self):
        """Makes the submodules."""
        self.down = MaskedConv(self.features, self.channels, dtype=self.dtype)
        self.context_to_hidden = nn.Dense(self.features, use_bias=False, dtype=self.dtype)
        self.conv = MaskedConv(self.features, self.channels, (3, 3), dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.up = MaskedConv(2 * self.features, self.channels, dtype=self.dtype)

    def __call__(
        self, x: Float[Array, "B H W 2*{self.features}"], context: Context | None, train: bool
    ) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the block's output, before the residual addition."""
        y = self.hidden(x, context)
        report_live(self, "relu_1", y)
        y = nn.relu(self.conv(y))
        report_live(self, "relu_2", y)
        return self.up(self.drop(y, deterministic=not train))

    def hidden(
        self, x: Float[Array, "B H W 2*{self.features}"], context: Context | None
    ) -> Float[Array, "B H W {self.features}"]:
        """The input of the 3x3 convolution; what the context adds to it, §3.6 adds to the LSTMs' gates."""
        y = self.down(nn.relu(x))
        return nn.relu(y if context is None else y + self.context_to_hidden(context))

    def decode_step(
        self, x: Float[Array, "B 1 1 2*{self.features}"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float[Array, "B 1 1 2*{self.features}"], Float[Array, "B 1 1 {self.features}"]]:
        """The same output at one pixel, and what the block leaves there: the input of the 3x3 convolution."""
        left, *above = neighbours
        y = self.hidden(x, context)
        here = [left, y, jnp.zeros_like(y)]  # nothing reads the pixel to the right
        window = jnp.concatenate([jnp.concatenate(above, 2), jnp.concatenate(here, 2)], 1)
        return self.up(nn.relu(self.conv(window, pad=False))), y

    def outside(self, batch: int) -> Float[Array, "B 1 1 {self.features}"]:
        """What there is at a pixel outside the image."""
        return jnp.zeros((batch, 1, 1, self.features), self.dtype)

    def finish_row(
        self,
        row: Float[Array, "W B 1 1 {self.features}"],
        above: Float[Array, "W B 1 1 {self.features}"],
        context: Context | None,
    ) -> Float[Array, "W B 1 1 {self.features}"]:
        """What is left of a row when all its pixels have been visited: no more than before."""
        return row
