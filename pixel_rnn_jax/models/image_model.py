"""What every model of images gives: logits, and the log-probability of each sub-pixel (equations 1 and 2 of the paper)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32

from pixel_rnn_jax.images import Images, possible
from pixel_rnn_jax.models.conditioning import Conditions, possible_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.output import Numbers, make_output


class ImageModel(nn.Module):
    """A model p(x) = Π_i p(x_i | x_<i) that computes all conditionals in one pass.

    All methods take the same arguments:
      images: integers [B, H, W, C] in [0, levels), of any height and width. Floats are not rounded.
      train: drop hidden features, with the random key "dropout".
      context: images [B, H / context_scale, W / context_scale, context_channels], integers in [0, context_levels), for a model
        with `context_channels`.
      labels: integers [B] in [0, num_classes), for a model with `num_classes`. A traced label out of range cannot be refused,
        but gives NaN, as does a traced context.

    They raise `InputError` (a ValueError) if images, context or labels are missing or superfluous, or have the wrong rank,
    type, shape or, unless traced, range.

    Attributes:
      config: what the model is.
      classes: names of the classes by number, if known; they change nothing.
    """

    config: ModelConfig
    classes: tuple[str, ...] = ()

    def __call__(
        self, images: Images, train: bool = False, context: Any = None, labels: Any = None
    ) -> Float32[Array, "B H W C levels"]:
        """Computes the logits of every sub-pixel's values: log-softmax over the last axis gives log p(x_i | x_<i)."""
        logits = make_output(self.config).logits(self.numbers(images, train, context, labels))
        in_range = possible_conditions(self.config, Conditions(context, labels))
        return jnp.where(in_range[..., None], logits, jnp.nan)

    def log_probs(
        self, images: Images, train: bool = False, context: Any = None, labels: Any = None
    ) -> Float32[Array, "B H W C"]:
        """Computes log p(x_i | x_<i) of every sub-pixel, in nats; NaN where a traced value is out of range."""
        values = jnp.asarray(images).astype(jnp.int32)
        log_probs = make_output(self.config).log_probs(self.numbers(images, train, context, labels), values)
        # Not left to NaN in the network: on a CPU, fused products may take the larger of NaN and 0 to be 0.
        in_range = possible(values, self.config.levels) & possible_conditions(self.config, Conditions(context, labels))
        return jnp.where(in_range, log_probs, jnp.nan)

    def numbers(self, images: Images, train: bool = False, context: Any = None, labels: Any = None) -> Numbers:
        """Computes what the model's `Output` needs to know of every sub-pixel, [B, H, W, C, size]."""
        raise NotImplementedError
