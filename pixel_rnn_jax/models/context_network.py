"""From an image that is given to the map that biases every layer (§3.6 of the paper)."""

import flax.linen as nn
from jaxtyping import Array, Float, Num

from pixel_rnn_jax.images import centre
from pixel_rnn_jax.models.config import ModelConfig


class ContextNetwork(nn.Module):
    """Transposed convolutions up to the size of the image that is drawn, then 3x3 convolutions; a ReLU after each.

    Nothing is masked: the given image is known before the first pixel. Along each axis, a transposed convolution by a factor f
    (a prime factor of `context_scale`, its kernel 2f wide) sees two pixels of its input: output f · n + r, with r < f, sees n,
    and n - 1 if r < f / 2, else n + 1. Each 3x3 convolution sees one pixel more on either side. So where the given image is as
    large as the one that is drawn, a pixel sees 2 · `context_depth` + 1 pixels of it along each axis.

    Attributes:
      config: of the whole model.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, images: Num[Array, "B rows columns channels"]) -> Float[Array, "B H W F"]:
        """Returns the map, [B, rows · context_scale, columns · context_scale, F].

        F is `context_features`; without any layer the map is the image, centred.
        """
        config = self.config
        x = centre(images, config.context_levels)
        for number, factor in enumerate(prime_factors(config.context_scale), start=1):
            up = nn.ConvTranspose(
                config.context_features,
                (2 * factor, 2 * factor),
                (factor, factor),
                dtype=config.dtype,
                name=f"upsampling_{number}",
            )
            x = nn.relu(up(x))
        for number in range(1, config.context_depth + 1):
            x = nn.relu(nn.Conv(config.context_features, (3, 3), dtype=config.dtype, name=f"conv_{number}")(x))
        return x


def prime_factors(number: int) -> list[int]:
    """The prime factors of a number, the smallest first; none of 1."""
    factors, factor = [], 2
    while number > 1:
        while number % factor == 0:
            factors.append(factor)
            number //= factor
        factor += 1
    return factors
