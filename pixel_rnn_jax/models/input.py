"""How values enter the network: as one number, or as a learned vector."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, Num

from pixel_rnn_jax.images import centre
from pixel_rnn_jax.models.config import ModelConfig


def input_size(config: ModelConfig) -> int:
    """How many features a value enters as."""
    return config.embedding_features if config.input == "embedding" else 1


class Input(nn.Module):
    """Turns values into the stem's input: for each channel, `input_size` features side by side.

    With `config.input` "scaled", a value becomes one number in [-1, 1]. With "embedding", each value of each channel has a
    learned vector, for symbols without order, such as codes or labels.
    """

    config: ModelConfig

    def setup(self):
        config = self.config
        if config.input == "embedding":
            shape = (config.channels, config.levels, input_size(config))
            self.vectors = self.param("vectors", nn.initializers.normal(1.0), shape, jnp.float32)

    def __call__(self, images: Num[Array, "B H W C"]) -> Float32[Array, "B H W features"]:
        """Returns the features of whole images."""
        features = self.features(images, jnp.arange(self.config.channels))
        return features.reshape(*images.shape[:3], self.config.channels * input_size(self.config))

    def features(self, values: Num[Array, "*places"], channels: ArrayLike) -> Float32[Array, "*places size"]:
        """Returns the features of values of these channels."""
        if self.config.input == "embedding":
            return jnp.asarray(self.vectors)[channels, values.astype(jnp.int32)]
        return centre(values, self.config.levels)[..., None]
