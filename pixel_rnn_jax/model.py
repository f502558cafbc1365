"""The whole network (Table 1 of the paper): stem, layers with residual and skip connections, head."""

import dataclasses
from collections.abc import Collection
from typing import Any, no_type_check

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.conv import MaskedConv
from pixel_rnn_jax.diagonal_bilstm import DiagonalBiLSTM
from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.images import Images, centre, check_images
from pixel_rnn_jax.neighbours import Neighbours
from pixel_rnn_jax.pixel_cnn import PixelCNNBlock
from pixel_rnn_jax.row_lstm import RowLSTM

LAYERS = {"pixel_cnn": PixelCNNBlock, "row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM}
STEM_SIZE = (7, 7)
PRECISIONS = ("highest", "high", "default")


@no_type_check  # __post_init__ checks the fields, with ValueErrors
@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a `PixelRNN` is made of; immutable and hashable.

    Attributes:
      layer: "pixel_cnn", "row_lstm" or "diagonal_bilstm".
      depth: number of layers (blocks, for the PixelCNN).
      features: h, the hidden size of a layer; the map that runs through the network has 2h features.
      head_features: width of the two 1x1 layers before the logits.
      levels: number of values that a sub-pixel can take, 2 to 256.
      channels: number of colour channels, predicted in order.
      residual: add each layer's input to its output (§3.5).
      skip: connect each layer's output to the head (§3.5).
      dropout: share of each layer's hidden features that is dropped in training.
      remat: compute each layer's maps again in the backward pass instead of keeping them: less memory, more time.
      precision: of matrix products on accelerators: "highest" (float32), "high" or "default" (whatever is fastest there).

    Raises:
      InputError: (a ValueError) if a field has the wrong type, range or name.
    """

    layer: str
    depth: int = 7
    features: int = 16
    head_features: int = 32
    levels: int
    channels: int
    residual: bool = True
    skip: bool = True
    dropout: float = 0.0
    remat: bool = False
    precision: str = "highest"

    def __post_init__(self):
        _check_name("layer", self.layer, LAYERS)
        _check_name("precision", self.precision, PRECISIONS)
        for name in ("depth", "features", "head_features", "channels"):
            check_integer(name, getattr(self, name), 1)
        check_integer("levels", self.levels, 2, 256)
        for name in ("features", "head_features"):
            if getattr(self, name) < self.channels:
                raise InputError(f"{name} (={getattr(self, name)}) must be at least channels (={self.channels}).")
        for name in ("residual", "skip", "remat"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be True or False; got {getattr(self, name)!r}.")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be a number in [0, 1); got {self.dropout!r}.")


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
        self.stem = MaskedConv(2 * config.features, config.channels, STEM_SIZE, "A")
        # Scanned over, layers of one kind share one parameter tree with a depth axis. Unrolled, XLA need not copy what the
        # backward pass keeps of each layer into stacked arrays; but what is to be computed again must stay a loop: unrolled,
        # XLA would find the same expressions, and keep them after all.
        self.layers = nn.scan(
            nn.remat(ResidualLayer, static_argnums=3) if config.remat else ResidualLayer,  # argument 3 is `train`
            length=config.depth,
            unroll=1 if config.remat else config.depth,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast),
        )(config)
        self.head = Head(config)

    def __call__(self, images: Images, train: bool = False) -> Float32[Array, "B H W C levels"]:
        """Computes the logits of every sub-pixel's values.

        Args:
          images: integers [B, H, W, C] in [0, levels), of any height and width. Floats are taken unrounded.
          train: drop hidden features, with the random key "dropout".

        Returns:
          [B, H, W, C, levels], float32; log-softmax over the last axis gives log p(x_i | x_<i).

        Raises:
          InputError: (a ValueError) if the images have the wrong rank, type, channels or, where not traced, range.
        """
        config = self.config
        check_images(images, levels=config.levels, channels=config.channels, allow_float=True)
        # Accelerators multiply float32 numbers in TF32 or bfloat16 unless told otherwise.
        with jax.default_matmul_precision(config.precision):
            features = self.stem(centre(jnp.asarray(images), config.levels))
            return self._after_stem(features, None, train)[0]

    def visit(
        self, window: Float32[Array, "B rows columns C"], neighbours: Neighbours
    ) -> tuple[Float32[Array, "B 1 1 C levels"], Any]:
        """Computes the same logits for one pixel, given what the layers have left at its neighbours.

        Args:
          window: the centred image around the pixel, as far as the stem sees, and zeros outside the image.
          neighbours: cells with a leading depth axis.

        Returns:
          The logits, of which a colour's are right once the earlier colours of the pixel are in the window; and the cells that
          the layers leave at the pixel, which are right once all but the last colour are.
        """
        with jax.default_matmul_precision(self.config.precision):
            return self._after_stem(self.stem(window, pad=False), neighbours, False)

    def _after_stem(
        self, x: Float[Array, "B H W F"], neighbours: Neighbours | None, train: bool
    ) -> tuple[Float32[Array, "B H W C levels"], Any]:
        (x, skips), cells = self.layers((x, jnp.zeros_like(x)), neighbours, train)
        return self.head(skips if self.config.skip else x), cells


class ResidualLayer(nn.Module):
    """One layer with its residual and skip connections (§3.5); `PixelRNN` scans over `depth` of them.

    Attributes:
      config: of the whole model.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, maps: tuple[Float[Array, "B H W F"], Float[Array, "B H W F"]], neighbours: Neighbours | None, train: bool
    ) -> tuple[tuple[Float[Array, "B H W F"], Float[Array, "B H W F"]], Any]:
        """One layer further.

        Args:
          maps: the map that runs through and the sum of the skip connections.
          neighbours: of the one pixel that the maps consist of; None for whole maps.
          train: drop hidden features.

        Returns:
          Both maps, and what the layer leaves at the pixel; None for whole maps.
        """
        config = self.config
        x, skips = maps
        layer = LAYERS[config.layer](config.features, config.channels, config.dropout, name=config.layer)
        y, cell = (layer(x, train), None) if neighbours is None else layer.visit(x, neighbours)
        x = x + y if config.residual else y
        if config.skip:
            skips = skips + MaskedConv(2 * config.features, config.channels, name="skip")(x)
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
        for name in ("hidden_1", "hidden_2"):
            x = MaskedConv(config.head_features, config.channels, name=name)(nn.relu(x))
        outputs = 1 if config.levels == 2 else config.levels
        x = MaskedConv(config.channels * outputs, config.channels, name="logits")(nn.relu(x))
        logits = x.reshape(*x.shape[:-1], config.channels, outputs).astype(jnp.float32)
        return jnp.pad(logits, [(0, 0)] * 4 + [(1, 0)]) if config.levels == 2 else logits


def _check_name(field: str, value: Any, known: Collection[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{field} must be one of {', '.join(known)}; got {value!r}.")
