"""The configuration of a model."""

import dataclasses
import itertools
from collections.abc import Collection, Sequence
from typing import Any, no_type_check

from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.models.registry import LAYERS, OUTPUTS

INPUTS = ("scaled", "embedding")
PRECISIONS = ("highest", "high", "default")
DTYPES = ("float32", "bfloat16")
RANGES = {  # of integers; that of the others is (1, None)
    "levels": (2, 65_536),
    "num_classes": (0, None),
    "context_channels": (0, None),
    "context_levels": (2, 65_536),
    "context_depth": (0, None),
}


@no_type_check  # __post_init__ checks the fields, with ValueErrors
@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The configuration of a `PixelRNN` or a `MultiScalePixelRNN`; immutable and hashable.

    Attributes:
      layer: "pixel_cnn", "row_lstm", "diagonal_bilstm", or the name of a registered layer.
      depth: number of layers (of the PixelCNN: residual blocks).
      features: h, the hidden size of a layer; the residual stream has 2h features.
      head_features: width of the two 1x1 layers before the logits.
      levels: number of values that a sub-pixel can take, 2 to 65,536.
      channels: number of colour channels, predicted in order.
      input: how values enter, "scaled" (one number) or "embedding" (a learned vector for each value of each channel).
      embedding_features: size of these vectors.
      output: the distribution of a value, "softmax" (over all levels), "logistic_mixture", or the name of a registered output.
      mixture_components: number of logistics in the mixture.
      residual: add each layer's input to its output (§3.5).
      skip: connect each layer's output to the head (§3.5).
      dropout: share of each layer's hidden features that is dropped in training.
      remat: recompute each layer's maps in the backward pass instead of keeping them, which saves memory and costs time.
      precision: of float32 products on accelerators: "highest" (float32), "high" or "default" (the fastest).
      dtype: in which the network computes: "float32" or "bfloat16". Parameters, LSTM states and the loss are float32; logits
        are computed in this type and returned as float32. More than 256 levels enter in float32, and so leaves a mixture.
      num_classes: number of classes of a class-conditional model; 0: none.
      context_channels: colour channels of the context image of an image-conditional model; 0: none.
      context_levels: number of values that a sub-pixel of the context image can take.
      context_scale: how many times smaller the context image is than the modelled one.
      context_features: width of the context network, which also conditions the larger sizes of a Multi-Scale PixelRNN.
      context_depth: number of its 3x3 convolutions, after the upsampling.
      sizes: image heights of a Multi-Scale PixelRNN (§3.6), the smallest first, such as (8, 32). Images of other heights are
        split by the same factors. Empty: a PixelRNN, of one size.

    Raises:
      InputError: (a ValueError) if a field has the wrong type, range or name.
    """

    layer: str
    depth: int = 7
    features: int = 16
    head_features: int = 32
    levels: int
    channels: int
    input: str = "scaled"
    embedding_features: int = 16
    output: str = "softmax"
    mixture_components: int = 10
    residual: bool = True
    skip: bool = True
    dropout: float = 0.0
    remat: bool = False
    precision: str = "highest"
    dtype: str = "float32"
    num_classes: int = 0
    context_channels: int = 0
    context_levels: int = 256
    context_scale: int = 1
    context_features: int = 16
    context_depth: int = 2
    sizes: tuple[int, ...] = ()

    def __post_init__(self):
        _check_name("layer", self.layer, LAYERS)
        _check_name("input", self.input, INPUTS)
        _check_name("output", self.output, OUTPUTS)
        _check_name("precision", self.precision, PRECISIONS)
        _check_name("dtype", self.dtype, DTYPES)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                object.__setattr__(self, field.name, check_integer(field.name, value, *RANGES.get(field.name, (1, None))))
            if field.type is bool and not isinstance(value, bool):
                raise InputError(f"{field.name} must be True or False; got {value!r}.")
        for name in ("features", "head_features"):
            if getattr(self, name) < self.channels:
                raise InputError(f"{name} (={getattr(self, name)}) must be at least channels (={self.channels}).")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be a number in [0, 1); got {self.dropout!r}.")
        if self.context_scale > 1 and not self.context_channels:
            raise InputError(f"context_scale (={self.context_scale}) must be 1 without context_channels.")
        object.__setattr__(self, "sizes", _checked_sizes(self.sizes))
        if self.sizes and self.input == "embedding":
            raise InputError(f"input must be 'scaled' with sizes (={self.sizes}): larger sizes take smaller ones as numbers.")
        if self.sizes and self.context_channels:
            raise InputError(f"context_channels (={self.context_channels}) must be 0 with sizes (={self.sizes}).")

    @property
    def multiple(self) -> int:
        """The number that the images' height and width must be multiples of."""
        return self.sizes[-1] // self.sizes[0] if self.sizes else self.context_scale


def _check_name(field: str, value: Any, known: Collection[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{field} must be one of {', '.join(known)}; got {value!r}.")


def _checked_sizes(sizes: Any) -> tuple[int, ...]:
    rule = "sizes must be empty, or two or more integers of which each divides the next larger one, such as (8, 32)"
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) == 1:
        raise InputError(f"{rule}; got {sizes!r}.")
    sizes = tuple(check_integer("each of sizes", size, 1) for size in sizes)
    for small, large in itertools.pairwise(sizes):
        if small >= large or large % small:
            raise InputError(f"{rule}; got {sizes}: {small} does not divide {large}.")
    return sizes
