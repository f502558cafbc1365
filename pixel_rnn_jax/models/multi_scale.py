"""The Multi-Scale PixelRNN (§3.6 of the paper): a small image first, then the large one given the small one.

The small image consists of pixels of the large one, every k-th of every k-th row from the top left on: x_s = x[::k, ::k]. So

    log p(x) = log p(x_s) + log p(x | x_s)

where the second term is a sum over the pixels of x that are not in x_s: once x_s is known, its own pixels are certain, and
cost nothing. Each pixel is counted once, in the order: x_s in raster order, then the rest in raster order, where each pixel
is given all pixels of x_s and those before it in the large image. That is the chain rule in another order, hence p adds up to
1 over all x. With more than two sizes, x_s is made in the same way.
"""

import itertools
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
    """One size of image, and the network that draws it.

    Attributes:
      config: of the network: unconditional for the smallest size, given the next smaller image for the others.
      name: of its parameters among those of the whole model; None if it is the whole model.
      stride: the stage's image is every so many-th pixel of the whole image.
      given: stride of the image that it is given; None for the smallest size.
    """

    config: ModelConfig
    name: str | None
    stride: int
    given: int | None

    @property
    def network(self) -> PixelRNN:
        """What draws its images."""
        return PixelRNN(self.config)

    def params(self, params: Any) -> Any:
        """Its parameters, among those of the whole model."""
        return params if self.name is None else params[self.name]

    def conditions(self, images: Images, conditions: Conditions) -> Conditions:
        """What it is given.

        Args:
          images: whole images, [B, H, W, C], of which the pixels of smaller sizes are known.
          conditions: of the whole model.
        """
        if self.given is None:
            return conditions
        return conditions._replace(context=images[:, :: self.given, :: self.given])

    def drawn(self, height: int, width: int) -> Bool[np.ndarray, "rows columns"]:
        """Which pixels of its image, of this height and width, it draws: those that no smaller size has drawn."""
        drawn = np.ones((height, width), bool)
        if self.given is not None:
            drawn[:: self.given // self.stride, :: self.given // self.stride] = False
        return drawn


class MultiScalePixelRNN(nn.Module):
    """A model of images that draws a small image, and then, given that, larger ones.

    Its logits are those of a `PixelRNN`, one set for each sub-pixel, but in another order: see the top of this file.

    Attributes:
      config: with `sizes`.
    """

    config: ModelConfig

    def setup(self):
        """Makes the submodules."""
        if not self.config.sizes:
            raise InputError("a MultiScalePixelRNN must have sizes, such as (8, 32); with none, make a PixelRNN.")
        for stage in stages(self.config):
            setattr(self, stage.name, stage.network)

    def __call__(
        self, images: Images, train: bool = False, context: Any = None, labels: Any = None
    ) -> Float32[Array, "B H W C levels"]:
        """Computes the logits of every sub-pixel's values; arguments and errors as of `PixelRNN`, without a context."""
        config, conditions = self.config, Conditions(context, labels)
        check_images(images, levels=config.levels, channels=config.channels, allow_float=True)
        check_conditions(config, conditions, images.shape[:3])
        logits = None
        for stage in stages(config):
            part = images[:, :: stage.stride, :: stage.stride]
            of_stage = getattr(self, stage.name)(part, train, *stage.conditions(images, conditions))
            if logits is not None:
                drawn = stage.drawn(*part.shape[1:3])[:, :, None, None]
                of_stage = jnp.where(drawn, of_stage, spread(logits, stage.given // stage.stride))
            logits = of_stage
        return logits


def make_model(config: ModelConfig) -> nn.Module:
    """The model that a configuration describes: a `PixelRNN`, or a `MultiScalePixelRNN` if it has `sizes`."""
    return MultiScalePixelRNN(config) if config.sizes else PixelRNN(config)


def stages(config: ModelConfig) -> tuple[Stage, ...]:
    """The sizes that a model draws one after the other, the smallest first; one for a `PixelRNN`."""
    if not config.sizes:
        return (Stage(config, None, stride=1, given=None),)
    strides = [config.sizes[-1] // size for size in config.sizes]
    one_size = replace(config, sizes=())
    of_stages = [Stage(one_size, f"size_{config.sizes[0]}", strides[0], None)]
    for size, (given, stride) in zip(config.sizes[1:], itertools.pairwise(strides), strict=True):
        conditional = replace(
            one_size, context_channels=config.channels, context_levels=config.levels, context_scale=given // stride
        )
        of_stages.append(Stage(conditional, f"size_{size}", stride, given))
    return tuple(of_stages)


def stage_of_pixels(config: ModelConfig, height: int, width: int) -> Integer[np.ndarray, "H W"]:
    """The number of the stage that draws each pixel of an image, from 0 on; all 0 for a `PixelRNN`."""
    stage_of = np.zeros((height, width), int)
    for number, stage in reversed(list(enumerate(stages(config)))):
        stage_of[:: stage.stride, :: stage.stride] = number
    return stage_of


def pixel_order(config: ModelConfig, height: int, width: int) -> Integer[np.ndarray, "H W"]:
    """The rank of each pixel in the order in which a model draws them, from 0 on; raster order for a `PixelRNN`."""
    in_order = np.argsort(stage_of_pixels(config, height, width), axis=None, kind="stable")
    return np.argsort(in_order).reshape(height, width)


def log_prob_by_size(
    model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None
) -> Float32[Array, "B sizes"]:
    """The terms of `log_prob`, smallest size first: log p(x_s), log p(x | x_s); arguments as there."""
    logits = model.apply({"params": params}, images, context=context, labels=labels)
    of_stage = stage_of_pixels(model.config, *images.shape[1:3])[..., None, None] == np.arange(len(stages(model.config)))
    return jnp.sum(jnp.where(of_stage, log_probs_from_logits(logits, images)[..., None], 0), (1, 2, 3))


def spread(logits: Float32[Array, "B h w C levels"], factor: int) -> Float32[Array, "B H W C levels"]:
    """Puts the logits of a small image where its pixels lie in the large one; zeros elsewhere."""
    gaps = (0, factor - 1, factor - 1)
    return jax.lax.pad(logits, jnp.float32(0), [(0, 0, 0), gaps, gaps, (0, 0, 0), (0, 0, 0)])
