"""Masks A and B, and the masked convolution that all layers are built from (§3.4 and Figure 4 of the paper).

Masks keep two orders: of pixels, in raster order, and of the colours inside a pixel, R before G before B. In every layer the
features are split into one group per colour. A weight at the kernel's centre connects two groups of the same pixel; the mask
type says which groups may be connected.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from pixel_rnn_jax.models.config import ModelConfig


def channel_groups(features: int, channels: int, gates: int = 1) -> Int[np.ndarray, " {gates}*{features}"]:
    """The colour of each feature, from 0 to channels - 1: contiguous groups, as even as possible.

    Of several gates side by side, each is split into groups of its own: split as one, an axis of 4h features would mix the
    colours of a gate, since the same h features read every gate.
    """
    return np.tile(np.arange(features) * channels // features, gates)


def kernel_mask(
    kernel_size: tuple[int, int], in_groups: Int[np.ndarray, " in"], out_groups: Int[np.ndarray, " out"], mask_type: str
) -> Float32[np.ndarray, "height width in out"]:
    """The mask of a kernel of odd height and width: 1 where a weight is allowed, 0 elsewhere.

    Weights before the centre in raster order are allowed, weights after it are not. At the centre, mask A (first layer only)
    lets a colour see the earlier colours of its pixel, in_group < out_group; mask B (all later layers) also itself.
    """
    height, width = kernel_size
    mask = np.zeros((height, width, in_groups.size, out_groups.size), np.float32)
    mask[: height // 2] = 1
    mask[height // 2, : width // 2] = 1
    allowed = {"A": np.less, "B": np.less_equal}[mask_type]
    mask[height // 2, width // 2] = allowed.outer(in_groups, out_groups)
    return mask


class MaskedConv(nn.Module):
    """A convolution with a masked kernel: a feature sees the pixels before its own and, there, what its colour may see.

    Serves for the 7x7, 3x3 and 1x1 convolutions and for the Row LSTM's along a row (`kernel_size=(1, 3)`, which the paper
    writes as 3x1). With several gates, side by side on the output axis, `features` counts those of each gate.
    """

    config: ModelConfig
    features: int
    kernel_size: tuple[int, int] = (1, 1)
    mask_type: str = "B"
    gates: int = 1
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "B rows columns in"], *, pad: bool = True) -> Float[Array, "B H W out"]:
        """Convolves maps, which with `pad=False` must include their `margin`; else it is filled with zeros."""
        config = self.config
        mask = kernel_mask(
            self.kernel_size,
            channel_groups(x.shape[-1], config.channels),
            channel_groups(self.features, config.channels, self.gates),
            self.mask_type,
        )
        kernel = jnp.multiply(self.param("kernel", masked_lecun_normal, mask), mask)
        bias = self.param("bias", self.bias_init, mask.shape[-1:], jnp.float32)
        if pad:
            above, sides = margin(self.kernel_size)
            x = jnp.pad(x, ((0, 0), (above, 0), (sides, sides), (0, 0)))
        y = convolve_causal(x.astype(config.dtype), kernel.astype(config.dtype), config.precision)
        return y + bias.astype(config.dtype)


def margin(kernel_size: tuple[int, int]) -> tuple[int, int]:
    """How many pixels a masked kernel reaches beyond its centre: upwards, and to either side."""
    height, width = kernel_size
    return height // 2, width // 2


def convolve_causal(
    x: Float[Array, "B rows columns in"], kernel: Float[Array, "height width in out"], precision: str
) -> Float[Array, "B H W out"]:
    """Convolves maps that include their margin with a kernel whose taps after the centre are ignored.

    The other taps are laid side by side for one matrix product. A general convolution would multiply with zeros half of the
    time, and its gradient is many times slower on a CPU.
    """
    kernel_height, kernel_width, in_features, out_features = kernel.shape
    above, sides = margin((kernel_height, kernel_width))
    height, width = x.shape[1] - above, x.shape[2] - 2 * sides
    taps = [divmod(tap, kernel_width) for tap in range(above * kernel_width + sides + 1)]  # in raster order, the centre last
    windows = [jax.lax.slice(x, (0, i, j, 0), (len(x), i + height, j + width, x.shape[3])) for i, j in taps]
    kernel = kernel.reshape(kernel_height * kernel_width * in_features, out_features)[: len(taps) * in_features]
    return jnp.matmul(jnp.concatenate(windows, -1), kernel, precision=precision)


def masked_lecun_normal(
    key: jax.Array, mask: Float32[np.ndarray, "height width in out"]
) -> Float32[Array, "height width in out"]:
    """LeCun's normal initialiser. The fan-in of an output counts only the weights that its mask allows."""
    fan_in = np.maximum(mask.sum((0, 1, 2)), 1)
    return _normal(key, mask / np.sqrt(fan_in))


@jax.jit  # traced once for each shape: Flax asks for the shape of every parameter each time it traces a network
def _normal(key: jax.Array, scale: Float32[Array | np.ndarray, "*shape"]) -> Float32[Array, "*shape"]:
    return jax.random.normal(key, scale.shape, jnp.float32) * scale
