"""A calm start of a training: blocks that add nothing, and logits that give the values' frequencies."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Integer

from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.output import make_output


def calm(params: Any, frequencies: Float[Array | np.ndarray, "C levels"], config: ModelConfig) -> Any:
    """Sets the parameters of a new model so that it predicts each value by its frequency, or nearly, whatever the image.

    The logits' kernels are zero, and their biases those of the output. The head's ReLUs then hardly change before the logits
    have learned what to read from them, which keeps them alive. Each residual block of a PixelCNN starts as the identity.
    Without residual connections, blocks keep their own initialization, since one that gives zero would pass nothing on.

    Args:
      params: from `init` of a `PixelRNN` or a `MultiScalePixelRNN`.
      frequencies: of each channel's values, greater than 0; see `value_frequencies`.
      config: the model's.
    """
    bias = make_output(config).biases(jnp.asarray(frequencies)).reshape(-1)
    flat = traverse_util.flatten_dict(params)
    for path, leaf in flat.items():
        if path[-3:] == ("head", "logits", "kernel") or (config.residual and path[-3:] == ("pixel_cnn", "up", "kernel")):
            flat[path] = jnp.zeros_like(leaf)
        elif path[-3:] == ("head", "logits", "bias"):
            flat[path] = bias.astype(leaf.dtype)
    return traverse_util.unflatten_dict(flat)


def value_frequencies(images: Integer[np.ndarray, "N H W C"], levels: int) -> Float[np.ndarray, "C levels"]:
    """The frequency of each value in each channel, with one added to each count."""
    counts = [np.bincount(images[..., channel].ravel(), minlength=levels) + 1 for channel in range(images.shape[-1])]
    return np.array([count / count.sum() for count in counts])
