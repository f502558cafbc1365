"""The whole network (Table 1 of the paper): stem, layers with residual and skip connections, head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import Images, centre, check_images
from pixel_rnn_jax.models.conditioning import Conditions, Context, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.context_network import ContextNetwork
from pixel_rnn_jax.models.diagonal_bilstm import DiagonalBiLSTM
from pixel_rnn_jax.models.layer import Layer, Maps, Neighbours
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.pixel_cnn import PixelCNNBlock
from pixel_rnn_jax.models.relu_units import LIVE, report_live
from pixel_rnn_jax.models.row_lstm import RowLSTM

LAYER_TYPES = {"pixel_cnn": PixelCNNBlock, "row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM}
STEM_SIZE = (7, 7)


class PixelRNN(nn.Module):
    """A model of images, p(x) = Π_i p(x_i | x_<i), that returns all conditionals in one pass.

    Pixels come in raster order, and the colours of a pixel in the order of their channels. The logits of a sub-pixel depend
    only on the sub-pixels before it.

    Attributes:
      config: without `sizes`.
      classes: names of the classes by number, if known; they change nothing.
    """

    config: ModelConfig
    classes: tuple[str, ...] = ()

    def setup(self):
        config = self.config
        if config.sizes:
            raise InputError(f"a PixelRNN has one size; with sizes (={config.sizes}), make a MultiScalePixelRNN.")
        self.stem = MaskedConv(config, 2 * config.features, STEM_SIZE, "A")
        # The layers share one parameter tree with a depth axis. Unrolling the scan saves copies: in a loop, XLA stacks what a
        # layer keeps for the backward pass. With `remat` it must stay a loop: unrolled, XLA would merge the recomputation
        # with the first computation, and keep the maps after all.
        self.layers = nn.scan(
            nn.remat(ResidualLayer, static_argnums=4) if config.remat else ResidualLayer,  # argument 4 is `train`
            length=config.depth,
            unroll=1 if config.remat else config.depth,
            variable_axes={"params": 0, LIVE: 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
        )(config)
        self.head = Head(config)
        if config.context_channels:
            self.context_network = ContextNetwork(config)

    def __call__(
        self, images: Images, train: bool = False, context: Any = None, labels: Any = None
    ) -> Float32[Array, "B H W C levels"]:
        """Computes the logits of every sub-pixel's values.

        Args:
          images: integers [B, H, W, C] in [0, levels), of any height and width. Floats are not rounded.
          train: drop hidden features, with the random key "dropout".
          context: images [B, H / context_scale, W / context_scale, context_channels], integers in [0, context_levels), for a
            model with `context_channels`.
          labels: integers [B] in [0, num_classes), for a model with `num_classes`. A traced label out of range is not refused,
            but counts as no class.

        Returns:
          [B, H, W, C, levels], float32; log-softmax over the last axis gives log p(x_i | x_<i).

        Raises:
          InputError: (a ValueError) if images, context or labels are missing or superfluous, or have the wrong rank, type,
            shape or, unless traced, range.
        """
        config = self.config
        check_images(images, levels=config.levels, channels=config.channels, allow_float=True)
        context = self.context_map(images.shape[:3], Conditions(context, labels))
        x = self.stem(centre(jnp.asarray(images), config.levels))
        return self._after_stem(x, None, context, train)[0]

    def context_map(self, shape: tuple[int, int, int], conditions: Conditions) -> Context | None:
        """Computes the map that every layer adds to its input-to-state map; None for an unconditional model."""
        config = self.config
        check_conditions(config, conditions, shape, allow_float=True)
        maps = []
        if config.num_classes:
            labels = jnp.asarray(conditions.labels).astype(jnp.int32)  # one_hot would wrap num_classes around in 8 bits
            maps.append(jax.nn.one_hot(labels, config.num_classes, dtype=jnp.float32)[:, None, None])
        if config.context_channels:
            maps.append(self.context_network(jnp.asarray(conditions.context)))
        if len(maps) == 2:
            maps = [jnp.broadcast_to(one, (*shape, one.shape[-1])) for one in maps]
        return jnp.concatenate(maps, -1) if maps else None

    def decode_step(
        self, window: Float32[Array, "B rows columns C"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float32[Array, "B 1 1 C levels"], Any]:
        """Computes the same logits for one pixel, and the layers' caches there. Caches have a leading depth axis.

        The window is the centred image around the pixel, as far as the stem sees. The logits of a colour are right once it
        holds the earlier colours of the pixel; the caches, once it holds all colours but the last.
        """
        return self._after_stem(self.stem(window, pad=False), neighbours, context, False)

    def _after_stem(
        self, x: Maps, neighbours: Neighbours | None, context: Context | None, train: bool
    ) -> tuple[Float32[Array, "B H W C levels"], Any]:
        (x, skips), caches = self.layers((x, jnp.zeros_like(x)), neighbours, context, train)
        return self.head(skips if self.config.skip else x), caches


def make_layer(config: ModelConfig) -> Layer:
    """One layer of a model; `config.layer` names it and its parameters."""
    return LAYER_TYPES[config.layer](config, name=config.layer)


class ResidualLayer(nn.Module):
    """One layer with its residual and skip connections (§3.5); `PixelRNN` scans over `depth` of them."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, maps: tuple[Maps, Maps], neighbours: Neighbours | None, context: Context | None, train: bool
    ) -> tuple[tuple[Maps, Maps], Any]:
        """Updates the residual stream and the sum of the skip connections: whole maps or, with `neighbours`, one pixel.

        Also returns the layer's cache at that pixel; None for whole maps.
        """
        config = self.config
        x, skips = maps
        layer = make_layer(config)
        y, cache = (layer(x, context, train), None) if neighbours is None else layer.decode_step(x, neighbours, context)
        x = x + y if config.residual else y
        if config.skip:
            skips = skips + MaskedConv(config, 2 * config.features, name="skip")(x)
        return (x, skips), cache


class Head(nn.Module):
    """From features to logits: (ReLU, 1x1) twice, then ReLU and the 1x1 layer that gives the logits. All use mask B."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Maps) -> Float32[Array, "B H W C levels"]:
        """Returns the logits; for two levels [0, z], with the paper's z: softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)]."""
        config = self.config
        x = nn.relu(x)
        for name in ("hidden_1", "hidden_2"):
            x = nn.relu(MaskedConv(config, config.head_features, name=name)(x))
            report_live(self, name.replace("hidden", "relu"), x)
        outputs = 1 if config.levels == 2 else config.levels
        x = MaskedConv(config, config.channels * outputs, name="logits")(x)
        logits = x.reshape(*x.shape[:-1], config.channels, outputs).astype(jnp.float32)
        return jnp.pad(logits, [(0, 0)] * 4 + [(1, 0)]) if config.levels == 2 else logits
