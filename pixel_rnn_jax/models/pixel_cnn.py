"""The PixelCNN's residual block (§3.5 and Figure 5, left, of the paper)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.layer import Layer, Maps, Neighbours, Pixel
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.relu_units import report_live


class PixelCNNBlock(Layer):
    """A 1x1 convolution from 2h to h features, a 3x3, and a 1x1 back to 2h, each after a ReLU. All use mask B."""

    def setup(self):
        config = self.config
        self.down = MaskedConv(config, config.features)
        self.context_to_hidden = nn.Dense(config.features, use_bias=False, dtype=config.dtype, precision=config.precision)
        self.conv = MaskedConv(config, config.features, (3, 3))
        self.drop = nn.Dropout(config.dropout)
        self.up = MaskedConv(config, 2 * config.features)

    def __call__(self, x: Maps, context: Context | None, train: bool) -> Maps:
        y = self.hidden(x, context)
        report_live(self, "relu_1", y)
        y = nn.relu(self.conv(y))
        report_live(self, "relu_2", y)
        return self.up(self.drop(y, deterministic=not train))

    def hidden(self, x: Maps, context: Context | None) -> Float[Array, "B H W h"]:
        """The input of the 3x3 convolution. The context enters here, as it enters the gates of the LSTMs (§3.6)."""
        y = self.down(nn.relu(x))
        return nn.relu(y if context is None else y + self.context_to_hidden(context))

    def decode_step(
        self, x: Pixel, neighbours: Neighbours, context: Context | None
    ) -> tuple[Pixel, Float[Array, "B 1 1 h"]]:  # the cache is the input of the 3x3 convolution
        left, *above = neighbours[:4]
        y = self.hidden(x, context)
        here = [left, y, jnp.zeros_like(y)]  # the mask hides the pixel to the right
        window = jnp.concatenate([jnp.concatenate(above, 2), jnp.concatenate(here, 2)], 1)
        return self.up(nn.relu(self.conv(window, pad=False))), y

    def outside(self, batch: int) -> Float[Array, "B 1 1 h"]:
        return jnp.zeros((batch, 1, 1, self.config.features), self.config.dtype)
