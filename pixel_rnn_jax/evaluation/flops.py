"""Floating-point operations for an image, from a model's configuration.

Counts the matrix products and convolutions of the code, two operations for each multiply-add. This includes products with
masked weights, but not the cells of the Diagonal BiLSTM's skewed map outside the image. Gates, activations, loss and optimizer
are not counted; their share shrinks as 1/h.
"""

import math
from typing import NamedTuple

from flax.traverse_util import flatten_dict

from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.context_network import prime_factors
from pixel_rnn_jax.models.multi_scale import stages
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.models.pixel_rnn import PixelRNN


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

    The gradient of a product Y = X W is two products of its size, by X and by W; the stem's is one, where its X is the image.
    With `remat`, the layers are computed twice. Some products are counted though they are not needed: the gradients by labels
    and context, and, without `skip`, the last product of each layer in the second computation.
    """
    forward = forward_flops(config, height, width)
    tripled = FLOPs(*(3 * flops for flops in forward))
    stem = (3 if config.input == "embedding" else 2) * forward.stem
    return tripled._replace(stem=stem, layers=(4 if config.remat else 3) * forward.layers)


def _one_size(config: ModelConfig, height: int, width: int) -> FLOPs:
    flops = dict.fromkeys(FLOPs._fields, 0)
    for path, leaf in flatten_dict(abstract_params(PixelRNN(config))).items():
        if path[-1] in ("kernel", "state_to_state"):
            part = "skips" if "skip" in path else path[0].removesuffix("_network")
            flops[part] += 2 * _rows(config, path, height * width) * _multiplied_weights(path, leaf.shape)
    return FLOPs(**flops)


def _rows(config: ModelConfig, path: tuple[str, ...], pixels: int) -> int:
    """The number of vectors that a matrix of weights is multiplied with: one for each pixel, with two exceptions."""
    layer = path[-2]
    if layer.startswith("context_to_") and not config.context_channels:
        return 1  # labels are the same at all pixels of an image
    if layer.startswith("upsampling_"):  # all of the kernel, for each pixel of the input
        factors = prime_factors(config.context_scale)[int(layer.removeprefix("upsampling_")) - 1 :]
        return pixels // math.prod(factors) ** 2
    return pixels


def _multiplied_weights(path: tuple[str, ...], shape: tuple[int, ...]) -> int:
    """The number of weights, of which a `MaskedConv` multiplies the taps up to its centre."""
    weights = math.prod(shape)
    if path[-1] == "state_to_state" or path[0] == "context_network" or path[-2].startswith("context_to_"):
        return weights
    taps = math.prod(shape[-4:-2])
    return weights // taps * (taps // 2 + 1)
