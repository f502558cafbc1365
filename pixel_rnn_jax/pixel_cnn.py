"""The PixelCNN's residual block (§3.5 and Figure 5, left, of the paper)."""

import flax.linen as nn
from jaxtyping import Array, Float

from pixel_rnn_jax.conv import MaskedConv


class PixelCNNBlock(nn.Module):
    """1x1 from 2h to h, 3x3, 1x1 from h back to 2h; a ReLU before each convolution; all of mask B.

    Attributes:
      features: h; the map that runs through has 2h features.
      channels: number of colour channels.
      dropout: share of the features before the last convolution that is dropped in training.
    """

    features: int
    channels: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 2*{self.features}"], train: bool) -> Float[Array, "B H W 2*{self.features}"]:
        """Returns the block's output, before the residual addition."""
        y = MaskedConv(self.features, self.channels, name="down")(nn.relu(x))
        y = MaskedConv(self.features, self.channels, (3, 3), name="conv")(nn.relu(y))
        y = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(y))
        return MaskedConv(2 * self.features, self.channels, name="up")(y)
