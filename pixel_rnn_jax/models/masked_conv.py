"""The masked convolution, the one building block that all layers share (§3.4 of the paper)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.models.masks import channel_groups, kernel_mask


class MaskedConv(nn.Module):
    """A convolution whose kernel is masked, so that a feature sees only what comes before its colour of its pixel.

    Covers the 7x7 and 3x3 convolutions, the 1x1 ones, and the Row LSTM's convolution along a row (`kernel_size=(1, 3)`: the
    paper writes the width first).

    Attributes:
      features: number of output features; of each gate, if there are several.
      channels: number of colour channels, into which inputs and outputs are grouped.
      kernel_size: height and width, both odd.
      mask_type: "A" or "B".
      gates: number of gates side by side on the output axis, [B, H, W, gates * features].
      dtype: in which it computes, and of the result; parameters are float32.
      bias_init: initialiser of the bias.
    """

    features: int
    channels: int
    kernel_size: tuple[int, int] = (1, 1)
    mask_type: str = "B"
    gates: int = 1
    dtype: DTypeLike = jnp.float32
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "B rows columns in"], *, pad: bool = True) -> Float[Array, "B H W out"]:
        """Convolves maps.

        Args:
          x: the maps, with zeros outside the image; or, unless `pad`, with a margin that is given (see `margin`).
          pad: whether to add the margin.
        """
        mask = kernel_mask(
            self.kernel_size,
            channel_groups(x.shape[-1], self.channels),
            channel_groups(self.features, self.channels, self.gates),
            self.mask_type,
        )
        kernel = jnp.multiply(self.param("kernel", masked_lecun_normal(mask), mask.shape), mask)
        bias = self.param("bias", self.bias_init, mask.shape[-1:], jnp.float32)
        if pad:
            above, sides = margin(self.kernel_size)
            x = jnp.pad(x, ((0, 0), (above, 0), (sides, sides), (0, 0)))
        return convolve_causal(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


def margin(kernel_size: tuple[int, int]) -> tuple[int, int]:
    """How far a masked kernel reaches beyond a pixel: up, and to either side."""
    height, width = kernel_size
    return height // 2, width // 2


def convolve_causal(
    x: Float[Array, "B rows columns in"], kernel: Float[Array, "height width in out"]
) -> Float[Array, "B H W out"]:
    """Convolves maps that have a margin with a kernel of which nothing after the centre counts.

    The taps that count are laid side by side, so that all of them are one matrix product. Half of a general convolution's
    products would be with zeros, and on a CPU its gradient is many times slower.
    """
    kernel_height, kernel_width, in_features, out_features = kernel.shape
    above, sides = margin((kernel_height, kernel_width))
    height, width = x.shape[1] - above, x.shape[2] - 2 * sides
    taps = [divmod(tap, kernel_width) for tap in range(above * kernel_width + sides + 1)]  # in raster order, the centre last
    windows = [x[:, row : row + height, column : column + width] for row, column in taps]
    kernel = kernel.reshape(kernel_height * kernel_width * in_features, out_features)[: len(taps) * in_features]
    return jnp.concatenate(windows, -1) @ kernel


def masked_lecun_normal(mask: Float32[np.ndarray, "height width in out"]) -> nn.initializers.Initializer:
    """LeCun's normal initialiser, with the fan-in of each output counted over the weights that its mask lets through."""
    fan_in = np.maximum(mask.sum((0, 1, 2)), 1)

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> Float[Array, "height width in out"]:
        return jax.random.normal(key, shape, dtype) * (mask / np.sqrt(fan_in))

    return init
