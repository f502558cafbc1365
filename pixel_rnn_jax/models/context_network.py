"""The network that turns a context image into the map that biases every layer (§3.6 of the paper)."""

import flax.linen as nn
from jaxtyping import Array, Float, Num

from pixel_rnn_jax.images import centre
from pixel_rnn_jax.models.config import ModelConfig


class ContextNetwork(nn.Module):
    """Transposed convolutions up to the size of the modelled image, then 3x3 convolutions; a ReLU after each.

    Nothing is masked: the context image is known before the first pixel. Along each axis, a transposed convolution by a factor
    f (a prime factor of `context_scale`; its kernel is 2f wide) sees two pixels of its input: output f · n + r, with r < f,
    sees n, and n - 1 if r < f / 2, else n + 1. Each 3x3 convolution sees one pixel more on either side. So a pixel sees
    2 · `context_depth` + 1 pixels along each axis of a context image that is as large as the modelled one.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, images: Num[Array, "B rows columns channels"]) -> Float[Array, "B H W F"]:
        """Returns the map. Without any layer it is the image, centred."""
        config = self.config
        # bfloat16 has 8 bits: deeper context images are read in float32.
        options = {"dtype": "float32" if config.context_levels > 256 else config.dtype, "precision": config.precision}
        x = centre(images, config.context_levels)
        for number, factor in enumerate(prime_factors(config.context_scale), start=1):
            kernel_size, strides, name = (2 * factor, 2 * factor), (factor, factor), f"upsampling_{number}"
            x = nn.relu(nn.ConvTranspose(config.context_features, kernel_size, strides, name=name, **options)(x))
        for number in range(1, config.context_depth + 1):
            x = nn.relu(nn.Conv(config.context_features, (3, 3), name=f"conv_{number}", **options)(x))
        return x


def prime_factors(number: int) -> list[int]:
    """The prime factors of a number, the smallest first; empty for 1."""
    if number == 1:
        return []
    smallest = next(factor for factor in range(2, number + 1) if number % factor == 0)
    return [smallest, *prime_factors(number // smallest)]
