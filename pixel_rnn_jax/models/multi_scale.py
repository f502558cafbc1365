"""The Multi-Scale PixelRNN (§3.6 of the paper): a small image first, then the large one given the small one.

The small image is a subset of the large one's pixels, x_s = x[::k, ::k]. So

    log p(x) = log p(x_s) + log p(x | x_s)

where the second term is a sum over the pixels of x outside x_s: given x_s, its own pixels are certain and cost nothing. It is
the chain rule in another order of pixels: first x_s in raster order, then the rest in raster order, each given all of x_s and
the pixels before it in the large image. Hence p sums to 1 over all x. With more than two sizes, x_s is split in the same way.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Integer

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.likelihood import log_probs_from_logits
from pixel_rnn_jax.models.pixel_rnn import PixelRNN


class Stage(NamedTuple):
    """One size of image, and its network."""

    config: ModelConfig  # of the network: conditional on the next smaller image, except for the smallest size
    name: str | None  # of its parameters in those of the whole model; None if the stage is the whole model
    stride: int  # the stage's image is x[::stride, ::stride]
    context_stride: int | None  # stride of the next smaller image; None for the smallest size

    @property
    def network(self) -> PixelRNN:
        return PixelRNN(self.config)

    def params(self, params: Any) -> Any:
        """Selects the stage's parameters from those of the whole model."""
        return params if self.name is None else params[self.name]

    def conditions(self, images: Images, conditions: Conditions) -> Conditions:
        """The conditions of the stage's network. Of the whole images, only the pixels of smaller sizes are read."""
        if self.context_stride is None:
            return conditions
        return conditions._replace(context=images[:, :: self.context_stride, :: self.context_stride])

    def drawn(self, height: int, width: int) -> Bool[np.ndarray, "rows columns"]:
        """Which pixels of the stage's image, of this height and width, belong to no smaller size, so that it draws them."""
        drawn = np.ones((height, width), bool)
        if self.context_stride is not None:
            drawn[:: self.config.context_scale, :: self.config.context_scale] = False
        return drawn


class MultiScalePixelRNN(nn.Module):
    """A model that generates a small image first, and then larger ones, each given the one before.

    It returns logits for each sub-pixel, as a `PixelRNN` does, but pixels come in another order: see the top of this file.

    Attributes:
      config: with `sizes`.
      classes: as in `PixelRNN`.
    """

    config: ModelConfig
    classes: tuple[str, ...] = ()

    def setup(self):
        if not self.config.sizes:
            raise InputError("a MultiScalePixelRNN must have sizes, such as (8, 32); with none, make a PixelRNN.")
        for stage in stages(self.config):
            setattr(self, stage.name, stage.network)

    def __call__(
        self, images: Images, train: bool = False, context: Any = None, labels: Any = None
    ) -> Float32[Array, "B H W C levels"]:
        """Computes the logits of every sub-pixel's values; see `PixelRNN`. `context` must be None."""
        config, conditions = self.config, Conditions(context, labels)
        check_images(images, levels=config.levels, channels=config.channels, allow_float=True)
        check_conditions(config, conditions, images.shape[:3])
        logits = None
        for stage in stages(config):
            stage_images = images[:, :: stage.stride, :: stage.stride]
            stage_logits = getattr(self, stage.name)(stage_images, train, *stage.conditions(images, conditions))
            if logits is not None:
                drawn = stage.drawn(*stage_images.shape[1:3])[:, :, None, None]
                stage_logits = jnp.where(drawn, stage_logits, spread(logits, stage.config.context_scale))
            logits = stage_logits
        return logits


def make_model(config: ModelConfig, classes: Sequence[str] = ()) -> nn.Module:
    """A `MultiScalePixelRNN` if the configuration has `sizes`, else a `PixelRNN`; `classes` are names by number, if known."""
    return (MultiScalePixelRNN if config.sizes else PixelRNN)(config, tuple(classes))


def stages(config: ModelConfig) -> tuple[Stage, ...]:
    """The stages of a model, the smallest size first; a `PixelRNN` is a single stage."""
    if not config.sizes:
        return (Stage(config, None, stride=1, context_stride=None),)
    strides = [config.sizes[-1] // size for size in config.sizes]
    one_size = replace(config, sizes=())
    result = [Stage(one_size, f"size_{config.sizes[0]}", strides[0], None)]
    for size, (context_stride, stride) in zip(config.sizes[1:], itertools.pairwise(strides), strict=True):
        conditional = replace(
            one_size, context_channels=config.channels, context_levels=config.levels, context_scale=context_stride // stride
        )
        result.append(Stage(conditional, f"size_{size}", stride, context_stride))
    return tuple(result)


def stage_of_pixels(config: ModelConfig, height: int, width: int) -> Integer[np.ndarray, "H W"]:
    """The number of the stage that draws each pixel, from 0; all 0 for a `PixelRNN`."""
    numbers = np.zeros((height, width), int)
    for number, stage in reversed(list(enumerate(stages(config)))):
        numbers[:: stage.stride, :: stage.stride] = number
    return numbers


def pixel_order(config: ModelConfig, height: int, width: int) -> Integer[np.ndarray, "H W"]:
    """The rank of each pixel, from 0, in the order in which a model draws them; raster order for a `PixelRNN`."""
    in_order = np.argsort(stage_of_pixels(config, height, width), axis=None, kind="stable")
    return np.argsort(in_order).reshape(height, width)


def log_prob_by_size(
    model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None
) -> Float32[Array, "B sizes"]:
    """The terms of `log_prob`, smallest size first: log p(x_s), log p(x | x_s). Takes the arguments of `log_prob`."""
    logits = model.apply({"params": params}, images, context=context, labels=labels)
    in_stage = stage_of_pixels(model.config, *images.shape[1:3])[..., None, None] == np.arange(len(stages(model.config)))
    return jnp.sum(jnp.where(in_stage, log_probs_from_logits(logits, images)[..., None], 0), (1, 2, 3))


def spread(logits: Float32[Array, "B h w C levels"], factor: int) -> Float32[Array, "B H W C levels"]:
    """Moves the logits of a small image to where its pixels lie in the large one, with zeros elsewhere."""
    gaps = (0, factor - 1, factor - 1)
    return jax.lax.pad(logits, jnp.float32(0), [(0, 0, 0), gaps, gaps, (0, 0, 0), (0, 0, 0)])
