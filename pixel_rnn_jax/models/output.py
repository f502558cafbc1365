"""What the kinds of output have in common: the distribution of a value, given the numbers that the head computes for it."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int32

from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.registry import OUTPUTS

Numbers = Float32[Array, "*#places size"]  # of each sub-pixel, what the head computes


@dataclasses.dataclass(frozen=True)
class Output:
    """The distribution over [0, levels) of a sub-pixel's value, given the numbers that the head computes for it."""

    EXACT: ClassVar[bool] = True  # whether the numbers must be computed in float32, whatever `config.dtype` says

    config: ModelConfig

    @property
    def size(self) -> int:
        """How many numbers describe one distribution."""
        raise NotImplementedError

    def logits(self, numbers: Numbers) -> Float32[Array, "*#places levels"]:
        """Returns logits, of which the softmax over the last axis is the distribution."""
        raise NotImplementedError

    def log_probs(self, numbers: Numbers, values: Int32[Array, "*#places"]) -> Float32[Array, "*#places"]:
        """Returns the log-probability of each value, in nats; anything for a value out of range."""
        raise NotImplementedError

    def pick(self, numbers: Numbers, uniform: Float32[Array, "*#places"], temperature: ArrayLike) -> Int32[Array, "*#places"]:
        """Picks the value at which the cumulative distribution exceeds a uniform number in [0, 1)."""
        raise NotImplementedError

    def biases(self, frequencies: Float[jax.Array, "C levels"]) -> Float[Array, "C size"]:
        """Returns numbers whose distributions are near the frequencies of each channel's values, all greater than 0."""
        raise NotImplementedError


def make_output(config: ModelConfig) -> Output:
    """The output that `config.output` names."""
    return OUTPUTS[config.output](config)


def cooled(logits: Float[Array, "*places values"], temperature: ArrayLike) -> Float[Array, "*places values"]:
    """Divides the logits by the temperature, after shifting their maximum to 0, so that low temperatures do not overflow."""
    above_zero = jnp.maximum(temperature, jnp.finfo(jnp.float32).tiny)  # processors flush smaller numbers to 0
    return (logits - jnp.max(logits, -1, keepdims=True)) / above_zero
