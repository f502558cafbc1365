"""What the three kinds of layer have in common."""

from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.config import ModelConfig

Maps = Float[Array, "B H W F"]  # the residual stream, F = 2h
Pixel = Float[Array, "B 1 1 F"]  # one pixel of it


class Neighbours(NamedTuple):
    """A layer's caches at the four neighbours of pixel (i, j) that come before it in raster order."""

    left: Any  # at (i, j - 1)
    above_left: Any  # at (i - 1, j - 1)
    above: Any  # at (i - 1, j)
    above_right: Any  # at (i - 1, j + 1)


class Layer(nn.Module):
    """A layer, applied to whole maps or, when images are generated, pixel by pixel.

    At every pixel, `decode_step` leaves a *cache*: a tree of arrays for that pixel, all that later decode steps need of it.
    """

    config: ModelConfig

    def __call__(self, x: Maps, context: Context | None, train: bool) -> Maps:
        """Returns the layer's output, before the residual addition (Figure 5). Drops hidden features in training."""
        raise NotImplementedError

    def decode_step(self, x: Pixel, neighbours: Neighbours, context: Context | None) -> tuple[Pixel, Any]:
        """Returns the same output at one pixel, and the layer's cache there."""
        raise NotImplementedError

    def outside(self, batch: int) -> Any:
        """Returns the cache at a pixel outside the image."""
        raise NotImplementedError

    def finish_row(self, row: Any, above: Any, context: Context | None) -> Any:
        """Completes the caches of a row, [W, B, 1, 1, ...], after its last pixel, from those of the row above."""
        return row
