"""Floating-point operations for an image, from a model's configuration.

Counts the matrix products and convolutions of the code, two operations for each multiply-add. This includes products with
masked weights, but not the cells of the Diagonal BiLSTM's skewed map outside the image. Gates, activations, loss and optimizer
are not counted; their share shrinks as 1/h.
"""

from typing import NamedTuple

from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.context_network import prime_factors
from pixel_rnn_jax.models.masked_conv import margin
from pixel_rnn_jax.models.multi_scale import stages
from pixel_rnn_jax.models.pixel_rnn import STEM_SIZE


class FLOPs(NamedTuple):
    """Floating-point operations by part of the network."""

    context: int  # the context network
    stem: int  # the 7x7 convolution
    layers: int  # all layers, including their products with the context
    skips: int  # their skip connections
    head: int  # the 1x1 layers up to the logits

    @property
    def total(self) -> int:
        return sum(self)


def forward_flops(config: ModelConfig, height: int, width: int) -> FLOPs:
    """Counts the operations of one image's logits, and so of its log-probability; of a Multi-Scale model, of all sizes."""
    by_stage = (_one_size(stage.config, height // stage.stride, width // stage.stride) for stage in stages(config))
    return FLOPs(*map(sum, zip(*by_stage, strict=True)))


def training_flops(config: ModelConfig, height: int, width: int) -> FLOPs:
    """Counts the operations of one image in a training step, forwards and backwards.

    The gradient of a product Y = X W is two products of its size, by X and by W; the stem's is one, since its X is the image.
    With `remat`, the layers are computed twice. Some products are counted though they are not needed: the gradients by labels
    and context, and, without `skip`, the last product of each layer in the second computation.
    """
    forward = forward_flops(config, height, width)
    return FLOPs(
        context=3 * forward.context,
        stem=2 * forward.stem,
        layers=(4 if config.remat else 3) * forward.layers,
        skips=3 * forward.skips,
        head=3 * forward.head,
    )


def _one_size(config: ModelConfig, height: int, width: int) -> FLOPs:
    pixels, mapped = height * width, 2 * config.features
    outputs = config.channels * (1 if config.levels == 2 else config.levels)
    head = ((mapped, config.head_features), (config.head_features, config.head_features), (config.head_features, outputs))
    return FLOPs(
        context=_context_network(config, pixels) if config.context_channels else 0,
        stem=_masked_conv(pixels, config.channels, mapped, STEM_SIZE),
        layers=config.depth * _layer(config, height, width),
        skips=config.depth * _masked_conv(pixels, mapped, mapped) if config.skip else 0,
        head=sum(_masked_conv(pixels, *features) for features in head),
    )


def _layer(config: ModelConfig, height: int, width: int) -> int:
    pixels, h = height * width, config.features
    # Labels are the same at all pixels of an image.
    context = (pixels if config.context_channels else 1, _context_width(config))
    by_layer = {
        "pixel_cnn": _masked_conv(pixels, 2 * h, h) + _product(*context, h) + _masked_conv(pixels, h, h, (3, 3)),
        "row_lstm": _masked_conv(pixels, 2 * h, 4 * h, (1, 3)) + _product(*context, 4 * h) + _product(pixels, 3 * h, 4 * h),
        "diagonal_bilstm": 2
        * (_masked_conv(pixels, 2 * h, 4 * h) + _product(*context, 4 * h) + _product(pixels, 2 * h, 4 * h)),
    }
    return by_layer[config.layer] + _masked_conv(pixels, h, 2 * h)


def _context_width(config: ModelConfig) -> int:
    has_network = config.context_scale > 1 or config.context_depth
    image_features = config.context_features if has_network else config.context_channels
    return config.num_classes + (image_features if config.context_channels else 0)


def _context_network(config: ModelConfig, pixels: int) -> int:
    rows_by_columns, features, flops = pixels // config.context_scale**2, config.context_channels, 0
    for factor in prime_factors(config.context_scale):
        rows_by_columns *= factor**2
        flops += _product(rows_by_columns, 2 * 2 * features, config.context_features)  # two pixels along each axis
        features = config.context_features
    for _ in range(config.context_depth):
        flops += _product(pixels, 3 * 3 * features, config.context_features)
        features = config.context_features
    return flops


def _masked_conv(pixels: int, features: int, outputs: int, kernel_size: tuple[int, int] = (1, 1)) -> int:
    """The operations of a `MaskedConv`, which multiplies the taps up to its centre."""
    above, sides = margin(kernel_size)
    return _product(pixels, (above * kernel_size[1] + sides + 1) * features, outputs)


def _product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns
