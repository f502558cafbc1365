"""The whole network (Table 1 of the paper): stem, layers with residual and skip connections, head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import Images, centre, check_images
from pixel_rnn_jax.models.conditioning import CONTEXT_LAYERS, Conditions, Context, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.context_network import ContextNetwork
from pixel_rnn_jax.models.diagonal_bilstm import DiagonalBiLSTM
from pixel_rnn_jax.models.live_units import LIVE, report_live
from pixel_rnn_jax.models.masked_conv import MaskedConv
from pixel_rnn_jax.models.neighbours import Neighbours
from pixel_rnn_jax.models.pixel_cnn import PixelCNNBlock
from pixel_rnn_jax.models.row_lstm import RowLSTM

LAYER_TYPES = {"pixel_cnn": PixelCNNBlock, "row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM}
STEM_SIZE = (7, 7)


class PixelRNN(nn.Module):
    """A model of images, p(x) = Π_i p(x_i | x_<i), that returns all conditionals in one pass.

    Pixels come in raster order and the colours of a pixel in the order of their channels: the logits of a sub-pixel depend on
    the sub-pixels before it and on no others.

    Attributes:
      config: what it is made of.
    """

    config: ModelConfig

    def setup(self):
        """Makes the submodules."""
        config = self.config
        if config.sizes:
            raise InputError(f"a PixelRNN has one size; with sizes (={config.sizes}), make a MultiScalePixelRNN.")
        self.stem = MaskedConv(2 * config.features, config.channels, STEM_SIZE, "A", dtype=config.dtype)
        # Scanned over, layers of one kind share one parameter tree with a depth axis. Unrolled, XLA need not copy what the
        # backward pass keeps of each layer into stacked arrays; but what is to be computed again must stay a loop: unrolled,
        # XLA would find the same expressions, and keep them after all.
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
          images: integers [B, H, W, C] in [0, levels), of any height and width. Floats are taken unrounded.
          train: drop hidden features, with the random key "dropout".
          context: images [B, H / context_scale, W / context_scale, context_channels]; or, without `context_channels`, any map
            [B, H, W, F] of floats. Parameters that are made (`init`) with such a map need one ever after.
          labels: integers [B] in [0, num_classes). While traced they are not checked: one out of range then is no class.

        Returns:
          [B, H, W, C, levels], float32; log-softmax over the last axis gives log p(x_i | x_<i).

        Raises:
          InputError: (a ValueError) if images, context or labels are missing or superfluous, or have the wrong rank, type,
            shape or, where not traced, range.
        """
        config = self.config
        check_images(images, levels=config.levels, channels=config.channels, allow_float=True)
        context = self.context_map(images.shape[:3], Conditions(context, labels))
        # Accelerators multiply float32 numbers in TF32 or bfloat16 unless told otherwise.
        with jax.default_matmul_precision(config.precision):
            features = self.stem(centre(jnp.asarray(images), config.levels))
            return self._after_stem(features, None, context, train)[0]

    def context_map(self, shape: tuple[int, int, int], conditions: Conditions) -> Context | None:
        """Computes the map that every layer adds to its input-to-state map; None for a model that is not conditional.

        Args:
          shape: number, height and width of the images.
          conditions: see `__call__`.
        """
        config = self.config
        check_conditions(config, conditions, shape, allow_float=True)
        maps = []
        if conditions.labels is not None:
            labels = jnp.asarray(conditions.labels).astype(jnp.int32)  # in 8 bits, classes would be counted modulo 256
            maps.append(jax.nn.one_hot(labels, config.num_classes, dtype=jnp.float32)[:, None, None])
        if config.context_channels:
            with jax.default_matmul_precision(config.precision):
                maps.append(self.context_network(jnp.asarray(conditions.context)))
        elif conditions.context is not None:
            maps.append(jnp.asarray(conditions.context))
        self._check_parameters_take(maps)
        if len(maps) == 2:
            maps = [jnp.broadcast_to(one, (*shape, one.shape[-1])) for one in maps]
        return jnp.concatenate(maps, -1) if maps else None

    def decode_step(
        self, window: Float32[Array, "B rows columns C"], neighbours: Neighbours, context: Context | None
    ) -> tuple[Float32[Array, "B 1 1 C levels"], Any]:
        """Computes the same logits for one pixel, given what the layers have left at its neighbours.

        Args:
          window: the centred image around the pixel, as far as the stem sees, and zeros outside the image.
          neighbours: cells with a leading depth axis.
          context: that pixel of the context map.

        Returns:
          The logits, of which a colour's are right once the earlier colours of the pixel are in the window; and the cells that
          the layers leave at the pixel, which are right once all but the last colour are.
        """
        with jax.default_matmul_precision(self.config.precision):
            return self._after_stem(self.stem(window, pad=False), neighbours, context, False)

    def _after_stem(
        self, x: Float[Array, "B H W F"], neighbours: Neighbours | None, context: Context | None, train: bool
    ) -> tuple[Float32[Array, "B H W C levels"], Any]:
        (x, skips), cells = self.layers((x, jnp.zeros_like(x)), neighbours, context, train)
        return self.head(skips if self.config.skip else x), cells

    def _check_parameters_take(self, maps: list[Float[Array, "..."]]) -> None:
        """Raises `InputError` unless the parameters were made with as many classes and as wide a context."""
        if self.is_initializing():
            return
        names = traverse_util.flatten_dict(self.variables["params"]["layers"])
        widths = [value.shape[-2] for path, value in names.items() if any(part in CONTEXT_LAYERS for part in path)]
        of_classes = self.config.num_classes
        expected, width = (widths or [0])[0] - of_classes, sum(one.shape[-1] for one in maps) - of_classes
        if expected < 0:
            raise InputError(f"params were made with {expected + of_classes} classes; num_classes is {of_classes}.")
        if expected != width:
            rule = f"a map of {expected} features, as" if expected else "None, since"
            got = f"one of {width}" if width else "none"
            message = f"context must be {rule} the parameters were made with {expected or 'none'}; got {got}."
            if of_classes and expected:
                message += f" Or they were made with {expected + of_classes} classes, and not {of_classes}."
            raise InputError(message)


def make_layer(config: ModelConfig) -> nn.Module:
    """One layer of a model; its parameters are called as its kind is."""
    return LAYER_TYPES[config.layer](config.features, config.channels, config.dropout, config.dtype, name=config.layer)


class ResidualLayer(nn.Module):
    """One layer with its residual and skip connections (§3.5); `PixelRNN` scans over `depth` of them.

    Attributes:
      config: of the whole model.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        maps: tuple[Float[Array, "B H W F"], Float[Array, "B H W F"]],
        neighbours: Neighbours | None,
        context: Context | None,
        train: bool,
    ) -> tuple[tuple[Float[Array, "B H W F"], Float[Array, "B H W F"]], Any]:
        """One layer further.

        Args:
          maps: the map that runs through and the sum of the skip connections.
          neighbours: of the one pixel that the maps consist of; None for whole maps.
          context: the map that all layers are given, see `PixelRNN.context_map`.
          train: drop hidden features.

        Returns:
          Both maps, and what the layer leaves at the pixel; None for whole maps.
        """
        config = self.config
        x, skips = maps
        layer = make_layer(config)
        y, cell = (layer(x, context, train), None) if neighbours is None else layer.decode_step(x, neighbours, context)
        x = x + y if config.residual else y
        if config.skip:
            skips = skips + MaskedConv(2 * config.features, config.channels, dtype=config.dtype, name="skip")(x)
        return (x, skips), cell


class Head(nn.Module):
    """From features to logits: (ReLU, 1x1) twice, then ReLU and the 1x1 layer that gives the logits; all of mask B.

    Attributes:
      config: of the whole model.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B H W F"]) -> Float32[Array, "B H W C levels"]:
        """Returns the logits. For two levels, the paper's one z: softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)]."""
        config = self.config
        x = nn.relu(x)
        for name in ("hidden_1", "hidden_2"):
            x = nn.relu(MaskedConv(config.head_features, config.channels, dtype=config.dtype, name=name)(x))
            report_live(self, name.replace("hidden", "relu"), x)
        outputs = 1 if config.levels == 2 else config.levels
        x = MaskedConv(config.channels * outputs, config.channels, dtype=config.dtype, name="logits")(x)
        logits = x.reshape(*x.shape[:-1], config.channels, outputs).astype(jnp.float32)
        return jnp.pad(logits, [(0, 0)] * 4 + [(1, 0)]) if config.levels == 2 else logits
