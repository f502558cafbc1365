"""What the three kinds of layer have in common."""

from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from pixel_rnn_jax.models.conditioning import Context
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.masked_conv import MaskedConv

STEM_SIZE = (7, 7)

Maps = Float[Array, "B H W F"]  # the residual stream, F = 2h
Pixel = Float[Array, "B 1 1 F"]  # one pixel of it


class Neighbours(NamedTuple):
    """A layer's caches at pixel (i, j), as `begin_row` left it, and at the four neighbours that come before it."""

    left: Any  # at (i, j - 1)
    above_left: Any  # at (i - 1, j - 1)
    above: Any  # at (i - 1, j)
    above_right: Any  # at (i - 1, j + 1)
    here: Any  # at (i, j); None for layers that do not look ahead


class Above(NamedTuple):
    """A layer's caches of the row above, [W + 2, B, 1, 1, ...], with one pixel outside the image on either side."""

    caches: Any


class Layer(nn.Module):
    """A layer, applied to whole maps or, when images are generated, pixel by pixel.

    At every pixel, `decode_step` leaves a *cache*: a tree of arrays for that pixel, all that later decode steps need of it.
    """

    config: ModelConfig

    LOOKS_AHEAD = False  # whether the layer has `begin_row`

    @staticmethod
    def stem(config: ModelConfig) -> nn.Module:
        """Makes the network's first layer, which turns the image into features. Its kernel reaches as far as `STEM_SIZE`."""
        return MaskedConv(config, 2 * config.features, STEM_SIZE, "A")

    def __call__(self, x: Maps, context: Context | None, train: bool) -> Maps:
        """Returns the layer's output, before the residual addition (Figure 5). Drops hidden features in training."""
        raise NotImplementedError

    def begin_row(
        self, x: Float[Array, "B 1 W F"], above: Above, context: Context | None
    ) -> tuple[Float[Array, "B 1 W F"], Any]:
        """Computes what depends on rows above only, before a row's first pixel.

        The part of `x` that depends on nothing else is right. Returns the same part of the output, and caches for the pixels
        of the row, [W, B, 1, 1, ...], from which `decode_step` reads its own as `Neighbours.here`.
        """
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
