"""The layer of the Gated PixelCNN (van den Oord et al., 2016, arXiv 1606.05328), as a plugin of pixel_rnn_jax.

    pixel-rnn train --plugin=gated_pixel_cnn.py --config=digits_pixelcnn --config.model.layer=gated_pixel_cnn --workdir=run

A vertical stack sees the rows above a pixel. A horizontal stack sees the pixels to its left, and reads from the vertical one.
So there is no blind spot. The two share the residual stream: the features 0, 2, 4, ... are those of the horizontal stack; the
features 1, 3, 5, ... are those of the vertical stack, and never depend on the row that they are in.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from pixel_rnn_jax.models.layer import STEM_SIZE, Layer
from pixel_rnn_jax.models.masked_conv import MaskedConv, margin
from pixel_rnn_jax.models.registry import register_layer


class Cache(NamedTuple):
    """What later pixels need of a pixel."""

    horizontal: jax.Array  # [B, 1, 1, h], the layer's input
    vertical: jax.Array  # [B, 1, 1, h], the layer's input
    gates: jax.Array  # [B, 1, 1, 2h], of the vertical stack


class GatedPixelCNN(Layer):
    """One layer (Figure 2 of the paper), with kernels of 3x3. The residual connection is on both stacks."""

    LOOKS_AHEAD = True  # the vertical stack of a whole row is computed before the row's first pixel

    @staticmethod
    def stem(config):
        return Stem(config)

    def setup(self):
        config = self.config
        options = {"dtype": config.dtype, "precision": config.precision}
        self.vertical = nn.Dense(2 * config.features, **options)  # of patches of 2x3: this row and the one above
        self.vertical_to_horizontal = nn.Dense(2 * config.features, **options)
        self.horizontal = MaskedConv(config, config.features, (1, 3), gates=2)
        self.context_to_gates = nn.Dense(4 * config.features, use_bias=False, **options)
        self.up = MaskedConv(config, config.features)
        self.drop = nn.Dropout(config.dropout)

    def __call__(self, x, context, train):
        horizontal, vertical = split(x)
        gates = self.vertical(patches(jnp.pad(vertical, ((0, 0), (1, 0), (1, 1), (0, 0))), 2, 3))
        y = self.horizontal_output(self.horizontal(horizontal), gates, context, train)
        return merge(y, self.vertical_output(gates, context))

    def horizontal_output(self, gates, vertical_gates, context, train=False):
        gates = gates + self.vertical_to_horizontal(vertical_gates)
        if context is not None:
            gates = gates + self.context_to_gates(context)[..., : gates.shape[-1]]
        return self.up(self.drop(gated(gates), deterministic=not train))

    def vertical_output(self, gates, context):
        return gated(gates if context is None else gates + self.context_to_gates(context)[..., gates.shape[-1] :])

    def begin_row(self, x, above, context):
        _, vertical = split(x)  # [B, 1, W, h]
        row_above = jnp.moveaxis(above.caches.vertical[1:-1, :, :, 0], 0, 2)
        rows = jnp.pad(jnp.concatenate([row_above, vertical], 1), ((0, 0), (0, 0), (1, 1), (0, 0)))
        gates = self.vertical(patches(rows, 2, 3))
        y = merge(jnp.zeros_like(vertical), self.vertical_output(gates, context))
        return y, jax.tree.map(by_pixel, Cache(jnp.zeros_like(vertical), vertical, gates))

    def decode_step(self, x, neighbours, context):
        horizontal, here = x[..., ::2], neighbours.here
        window = jnp.concatenate([neighbours.left.horizontal, horizontal, jnp.zeros_like(horizontal)], 2)
        y = self.horizontal_output(self.horizontal(window, pad=False), here.gates, context)
        return merge(y, self.vertical_output(here.gates, context)), here._replace(horizontal=horizontal)

    def outside(self, batch):
        zero = jnp.zeros((batch, 1, 1, self.config.features), self.config.dtype)
        return Cache(zero, zero, jnp.concatenate([zero, zero], -1))


class Stem(nn.Module):
    """Features of the pixels before each pixel, by mask A, and of the rows above it alone."""

    config: object

    @nn.compact
    def __call__(self, x, *, pad=True):
        config = self.config
        above, sides = margin(STEM_SIZE)
        if pad:
            x = jnp.pad(x, ((0, 0), (above, 0), (sides, sides), (0, 0)))
        horizontal = MaskedConv(config, config.features, STEM_SIZE, "A", name="horizontal")(x, pad=False)
        options = {"dtype": config.dtype, "precision": config.precision}
        vertical = nn.Dense(config.features, name="vertical", **options)(patches(x[:, :-1], above, STEM_SIZE[1]))
        return merge(horizontal, vertical)


def patches(x, height, width):
    """What a convolution without padding reads at each place, side by side: a product with these is that convolution.

    The gradient of a general convolution is many times slower on a CPU.
    """
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    taps = [x[:, row : row + rows, column : column + columns] for row in range(height) for column in range(width)]
    return jnp.concatenate(taps, -1)


def split(x):
    """The horizontal and the vertical stack of the residual stream."""
    return x[..., ::2], x[..., 1::2]


def merge(horizontal, vertical):
    """The inverse of `split`."""
    return jnp.stack([horizontal, vertical], -1).reshape(*horizontal.shape[:-1], -1)


def gated(gates):
    """tanh(W_f * x) ⊙ σ(W_g * x), equation 2 of the paper."""
    filters, gates = jnp.split(gates, 2, -1)
    return jnp.tanh(filters) * nn.sigmoid(gates)


def by_pixel(row):
    """[B, 1, W, features] as [W, B, 1, 1, features]."""
    return jnp.moveaxis(row, 2, 0)[:, :, :, None]


register_layer("gated_pixel_cnn", GatedPixelCNN)
