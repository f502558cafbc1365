"""An output of two numbers: the beta-binomial distribution, for values that are counts or brightnesses.

pixel-rnn train --plugin=docs/examples/beta_binomial.py --config=digits_pixelcnn --config.model.output=beta_binomial \
  --workdir=runs/counts
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln

from pixel_rnn_jax.models.output import Output, cooled
from pixel_rnn_jax.models.registry import register_output

SMALLEST = 1e-3  # of α and β


class BetaBinomial(Output):
    """P(v) = C(n, v) B(v + α, n - v + β) / B(α, β), with n = levels - 1. The numbers give α and β by softplus."""

    @property
    def size(self):
        return 2

    def logits(self, numbers):
        return self.log_probs(numbers[..., None, :], jnp.arange(self.config.levels))

    def log_probs(self, numbers, values):
        n = self.config.levels - 1
        alpha, beta = jnp.moveaxis(jax.nn.softplus(numbers) + SMALLEST, -1, 0)
        ways = -jnp.log(n + 1.0) - betaln(n - values + 1.0, values + 1.0)  # log C(n, v)
        return ways + betaln(values + alpha, n - values + beta) - betaln(alpha, beta)

    def pick(self, numbers, uniform, temperature):
        cumulative = jnp.cumsum(jax.nn.softmax(cooled(self.logits(numbers), temperature)), -1)
        return jnp.sum(cumulative <= (uniform * cumulative[..., -1])[..., None], -1, dtype=jnp.int32)

    def biases(self, frequencies):
        """Of a flat distribution, α = β = 1."""
        return jnp.full((len(frequencies), 2), jnp.log(jnp.e - 1))


register_output("beta_binomial", BetaBinomial)
