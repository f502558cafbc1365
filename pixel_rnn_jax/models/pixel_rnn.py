"""The whole network (Table 1 of the paper): stem, layers with residual and skip connections, head."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, Num

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import Conditions, Context, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.context_network import ContextNetwork
from pixel_rnn_jax.models.diagonal_bilstm import DiagonalBiLSTM
from pixel_rnn_jax.models.image_model import ImageModel
from pixel_rnn_jax.models.input import Input
from pixel_rnn_jax.models.layer import Above, Layer, Maps, Neighbours
from pixel_rnn_jax.models.logistic_mixture import LogisticMixture
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.output import Numbers, make_output
from pixel_rnn_jax.models.pixel_cnn import PixelCNNBlock
from pixel_rnn_jax.models.registry import LAYERS, register_layer, register_output
from pixel_rnn_jax.models.relu_units import LIVE, report_live
from pixel_rnn_jax.models.row_lstm import RowLSTM
from pixel_rnn_jax.models.softmax import Softmax
from pixel_rnn_jax.platforms import layers_in_a_turn

register_layer("pixel_cnn", PixelCNNBlock)
register_layer("row_lstm", RowLSTM)
register_layer("diagonal_bilstm", DiagonalBiLSTM)
register_output("softmax", Softmax)
register_output("logistic_mixture", LogisticMixture)


class PixelRNN(ImageModel):
    """The network of one size; its configuration has no `sizes`.

    Pixels come in raster order, and the colours of a pixel in the order of their channels. The logits of a sub-pixel depend
    only on the sub-pixels before it.
    """

    def setup(self):
        config = self.config
        if config.sizes:
            raise InputError(f"a PixelRNN has one size; with sizes (={config.sizes}), make a MultiScalePixelRNN.")
        self.input = Input(config)
        # bfloat16 has 8 bits: the stem reads deeper values in float32.
        self.stem = LAYERS[config.layer].stem(in_float32(config) if config.levels > 256 else config)
        # The layers share one parameter tree with a depth axis. With `remat` they must stay a loop: unrolled, XLA would merge
        # the recomputation with the first computation, and keep the maps after all.
        self.layers = nn.scan(
            nn.remat(ResidualLayer, static_argnums=4) if config.remat else ResidualLayer,  # argument 4 is `train`
            length=config.depth,
            unroll=1 if config.remat else layers_in_a_turn(config.depth),
            variable_axes={"params": 0, LIVE: 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
            check_constancy_invariants=False,  # which would trace a layer twice
        )(config)
        self.head = Head(config)
        if config.context_channels:
            self.context_network = ContextNetwork(config)

    def numbers(self, images: Images, train: bool = False, context: Any = None, labels: Any = None) -> Numbers:
        config = self.config
        check_images(images, levels=config.levels, channels=config.channels, allow_float=config.input == "scaled")
        context = self.context_map(images.shape[:3], Conditions(context, labels))
        return self._after_stem(self.stem(self.input(jnp.asarray(images))), None, context, train)[0]

    def context_map(self, shape: tuple[int, int, int], conditions: Conditions) -> Context | None:
        """Computes the map of which every layer adds a 1x1 convolution (§3.6); None for an unconditional model."""
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
        self, window: Float32[Array, "B rows columns features"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float32[Array, "B 1 1 C size"], Any]:
        """Computes the same `numbers` for one pixel, and the layers' caches there. Caches have a leading depth axis.

        The window is the `Input` around the pixel, as far as the stem sees. The numbers of a colour are right once it holds
        the earlier colours of the pixel; the caches, once it holds all colours but the last.
        """
        return self._after_stem(self.stem(window, pad=False), neighbours, context, False)

    def begin_row(self, window: Float32[Array, "B rows columns features"], above: Above, context: Context | None) -> Any:
        """Computes what of a row depends on rows above only: for layers that look ahead, their caches for its pixels."""
        x = self.stem(window, pad=False).astype(self.config.dtype)
        return self.layers((x, jnp.zeros_like(x)), above, context, False)[1]

    def input_features(self, values: Num[Array, " B"], channel: ArrayLike) -> Float32[Array, "B size"]:
        """Returns the `Input` of values of one channel."""
        return self.input.features(values, channel)

    def _after_stem(
        self, x: Maps, neighbours: Neighbours | None, context: Context | None, train: bool
    ) -> tuple[Float32[Array, "B H W C size"], Any]:
        x = x.astype(self.config.dtype)
        (x, skips), caches = self.layers((x, jnp.zeros_like(x)), neighbours, context, train)
        return self.head(skips if self.config.skip else x), caches


def in_float32(config: ModelConfig) -> ModelConfig:
    """The configuration of a part that computes in float32 where the others may not."""
    return dataclasses.replace(config, dtype="float32")


def make_layer(config: ModelConfig) -> Layer:
    """One layer of a model; `config.layer` names it and its parameters."""
    return LAYERS[config.layer](config, name=config.layer)


class ResidualLayer(nn.Module):
    """One layer with its residual and skip connections (§3.5); `PixelRNN` scans over `depth` of them."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, maps: tuple[Maps, Maps], caches: Neighbours | Above | None, context: Context | None, train: bool
    ) -> tuple[tuple[Maps, Maps], Any]:
        """Updates the residual stream and the sum of the skip connections: of whole maps, of one pixel, or ahead of a row.

        Also returns the layer's cache at that pixel, or its caches for that row; None for whole maps.
        """
        config = self.config
        x, skips = maps
        layer = make_layer(config)
        if caches is None:
            y, cache = layer(x, context, train), None
        elif isinstance(caches, Neighbours):
            y, cache = layer.decode_step(x, caches, context)
        else:
            y, cache = layer.begin_row(x, caches, context)
        x = x + y if config.residual else y
        if config.skip:
            skips = skips + MaskedConv(config, 2 * config.features, name="skip")(x)
        return (x, skips), cache


class Head(nn.Module):
    """From features to the output's numbers: (ReLU, 1x1) twice, then ReLU and a last 1x1 layer. All use mask B."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Maps) -> Float32[Array, "B H W C size"]:
        config = self.config
        x = nn.relu(x)
        for name in ("hidden_1", "hidden_2"):
            x = nn.relu(MaskedConv(config, config.head_features, name=name)(x))
            report_live(self, name.replace("hidden", "relu"), x)
        output = make_output(config)
        last = in_float32(config) if output.EXACT else config
        x = MaskedConv(last, config.channels * output.size, bias_init=broad_distributions(config), name="logits")(x)
        return x.reshape(*x.shape[:-1], config.channels, output.size).astype(jnp.float32)


def broad_distributions(config: ModelConfig) -> nn.initializers.Initializer:
    """Biases of the last layer with which all values are about as likely; zero for a softmax."""
    uniform = jnp.ones((config.channels, config.levels)) / config.levels
    return lambda key, shape, dtype: make_output(config).biases(uniform).reshape(shape).astype(dtype)
