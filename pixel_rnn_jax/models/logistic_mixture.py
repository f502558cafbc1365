"""A mixture of discretised logistics, as in PixelCNN++ (Salimans et al., 2017, arXiv 1701.05517).

In PixelCNN++ the means of a pixel's later colours depend linearly on its earlier colours. Here the masks see to that: the
numbers of each sub-pixel depend on all sub-pixels before it.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int32

from pixel_rnn_jax.models.output import Numbers, Output, cooled

MIN_SCALE = 1e-3  # in levels; a narrower logistic lies within one value all the same
MAX_LOG_SCALE = 10.0  # of values from -1 to 1; a wider logistic is flat on them all the same


class LogisticMixture(Output):
    """K logistics, each with a weight, a mean and a scale. A value has the probability of the interval of 1 around it.

        P(v) = Σ_k π_k [σ((v + 1/2 - μ_k) / s_k) - σ((v - 1/2 - μ_k) / s_k)]

    The first and the last value also have the tail beyond them, so Σ P(v) = 1. The numbers are the logits of π, then μ with
    the values scaled to [-1, 1], then log s in the same unit.
    """

    @property
    def size(self) -> int:
        return 3 * self.config.mixture_components

    def logits(self, numbers: Numbers) -> Float32[Array, "*#places levels"]:
        return self.log_probs(numbers[..., None, :], jnp.arange(self.config.levels))

    def log_probs(self, numbers: Numbers, values: Int32[Array, "*#places"]) -> Float32[Array, "*#places"]:
        """From σ(b) - σ(a) = σ(b) σ(-a) (1 - exp(a - b)), of which each factor keeps its precision in the tails."""
        weights, means, scales = self._mixture(numbers)
        centred = self._centred(values[..., None])
        below, above = (centred - 0.5 - means) / scales, (centred + 0.5 - means) / scales
        first, last = values[..., None] == 0, values[..., None] == self.config.levels - 1
        log_probs = (
            jnp.where(last, 0, jax.nn.log_sigmoid(above))
            + jnp.where(first, 0, jax.nn.log_sigmoid(-below))
            + jnp.where(first | last, 0, jnp.log(-jnp.expm1(-1 / scales)))
        )
        return jax.nn.logsumexp(jax.nn.log_softmax(weights) + log_probs, -1)

    def pick(self, numbers: Numbers, uniform: Float32[Array, "*#places"], temperature: ArrayLike) -> Int32[Array, "*#places"]:
        """By bisection. The temperature divides the logits of π and multiplies the scales."""
        weights, means, scales = self._mixture(numbers)
        weights, scales = jax.nn.softmax(cooled(weights, temperature)), jnp.maximum(scales * temperature, MIN_SCALE)
        threshold = uniform * jnp.sum(weights, -1)  # the sum, which rounding may leave below 1
        low, high = jnp.zeros(uniform.shape, jnp.int32), jnp.full(uniform.shape, self.config.levels - 1, jnp.int32)
        for _ in range((self.config.levels - 1).bit_length()):
            middle = (low + high) // 2
            cumulative = jnp.sum(weights * jax.nn.sigmoid((self._centred(middle[..., None]) + 0.5 - means) / scales), -1)
            larger = cumulative <= threshold
            low, high = jnp.where(larger, jnp.minimum(middle + 1, high), low), jnp.where(larger, high, middle)
        return low

    def biases(self, frequencies: Float[Array, "C levels"]) -> Float[Array, "C size"]:
        """Equal weights; each logistic has its mean in one of K parts of equal probability, and half of itself inside."""
        components, half = self.config.mixture_components, (self.config.levels - 1) / 2
        borders = jnp.linspace(0, 1, 2 * components + 1)  # of the parts, and their middles
        edges = jnp.arange(self.config.levels + 1) - 0.5
        cumulative = jnp.pad(jnp.cumsum(frequencies, -1), ((0, 0), (1, 0)))
        quantiles = jax.vmap(lambda per_channel: jnp.interp(borders, per_channel, edges))(cumulative / cumulative[:, -1:])
        means, widths = quantiles[:, 1::2], quantiles[:, 2::2] - quantiles[:, :-2:2]
        scales = widths / (2 * jnp.log(3))  # half of a logistic lies within ± s ln 3
        return jnp.concatenate([jnp.zeros_like(means), means / half - 1, jnp.log(scales / half)], -1)

    def _centred(self, values: Int32[Array, "*#places"]) -> Float32[Array, "*#places"]:
        return values - jnp.float32((self.config.levels - 1) / 2)

    def _mixture(self, numbers: Numbers) -> tuple[Float32[Array, "*#places K"], ...]:
        """The logits of π; μ in levels, counted from the middle one, which keeps it precise; and s in levels."""
        half = (self.config.levels - 1) / 2
        weights, means, log_scales = jnp.split(numbers, 3, -1)
        return weights, means * half, jnp.maximum(jnp.exp(jnp.minimum(log_scales, MAX_LOG_SCALE)) * half, MIN_SCALE)
