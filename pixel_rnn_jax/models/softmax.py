"""The paper's output: a softmax over all values of a sub-pixel (§3, "Pixels as discrete variables")."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int32

from pixel_rnn_jax.models.output import Numbers, Output, cooled


class Softmax(Output):
    """One logit for each value. For two values, only the paper's z: softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)]."""

    EXACT = False

    @property
    def size(self) -> int:
        return 1 if self.config.levels == 2 else self.config.levels

    def logits(self, numbers: Numbers) -> Float32[Array, "*#places levels"]:
        return jnp.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(1, 0)]) if self.size == 1 else numbers

    def log_probs(self, numbers: Numbers, values: Int32[Array, "*#places"]) -> Float32[Array, "*#places"]:
        log_probs = jax.nn.log_softmax(self.logits(numbers))
        # Selected by comparison, not by index: the gradient of a gather is a scatter, which is slow on every backend.
        selected = jnp.arange(self.config.levels) == values[..., None]
        return jnp.sum(jnp.where(selected, log_probs, 0), -1)

    def pick(self, numbers: Numbers, uniform: Float32[Array, "*#places"], temperature: ArrayLike) -> Int32[Array, "*#places"]:
        """Also never picks a value of probability 0. The temperature divides the logits."""
        cumulative = jnp.cumsum(jax.nn.softmax(cooled(self.logits(numbers), temperature)), -1)
        threshold = uniform * cumulative[..., -1]  # the sum, which rounding may leave below 1
        return jnp.sum(cumulative <= threshold[..., None], -1, dtype=jnp.int32)

    def biases(self, frequencies: Float[Array, "C levels"]) -> Float[Array, "C size"]:
        logits = jnp.log(frequencies)
        return logits[:, 1:] - logits[:, :1] if self.size == 1 else logits - jnp.max(logits, -1, keepdims=True)
