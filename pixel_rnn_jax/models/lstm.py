"""The LSTM step (equation 3 of the paper), shared by the Row LSTM and the Diagonal BiLSTM.

Both layers scan over the lines of an image, its rows or its diagonals, and carry the states of one line.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.masked_conv import MaskedConv


class State(NamedTuple):
    """Hidden state h and cell state c: of the pixels of a line, [D, B*N, h], or of one pixel, [B, 1, 1, h]."""

    hidden: Float32[Array, "*pixels h"]
    cell: Float32[Array, "*pixels h"]


class Recurrence(NamedTuple):
    """The parameters that a step of the scan needs, of one LSTM or of D: K_ss, and the learned state outside the image."""

    state_to_state: Float32[Array, "*D taps h 4*h"]  # not masked; tap k reads h of pixel n - 1 + k of the line before
    initial_hidden: Float32[Array, "*D h"]  # h_0
    initial_cell: Float32[Array, "*D h"]  # c_0


# Compiled, so that it is traced once for each shape, like the masked kernels'.
_lecun_normal = jax.jit(nn.initializers.lecun_normal(in_axis=(0, 1), batch_axis=()), static_argnums=(1, 2))


class LSTM(nn.Module):
    """The parameters of one LSTM: the input-to-state convolution K_is with its bias, the context's weights, the recurrence."""

    config: ModelConfig
    kernel_width: int  # of K_is along the row; mask B
    taps: int  # number of pixels that K_ss reads: 3 (n - 1, n, n + 1) or 2 (n - 1, n)

    def setup(self):
        config, h = self.config, self.config.features
        self.input_to_state = MaskedConv(config, h, (1, self.kernel_width), gates=4, bias_init=open_forget_gates)
        self.context_to_state = nn.Dense(4 * h, use_bias=False, dtype=config.dtype, precision=config.precision)
        self.recurrence = Recurrence(
            self.param("state_to_state", _lecun_normal, (self.taps, h, 4 * h), jnp.float32),
            self.param("initial_hidden", nn.initializers.zeros, (h,), jnp.float32),
            self.param("initial_cell", nn.initializers.zeros, (h,), jnp.float32),
        )

    def input_gates(
        self, x: Float[Array, "B rows columns in"], context: Float[Array, "#B #H #W context"] | None, *, pad: bool = True
    ) -> Float[Array, "B H W 4*{self.config.features}"]:
        """The part of the gates that does not depend on the state: K_is ⊛ x, and an unmasked 1x1 convolution of the context.

        "For each layer in the conditional PixelRNN, one applies a 1x1 unmasked convolutional layer that maps the upsampled
        image into a map that is added to the input-to-state map of the corresponding layer" (§3.6).
        """
        gates = self.input_to_state(x, pad=pad)
        return gates if context is None else gates + self.context_to_state(context)


def open_forget_gates(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> Float[Array, " gates"]:
    """A bias of 1 for the forget gates and 0 for the others, so that the cells keep their contents early in training."""
    h = shape[0] // 4
    return jnp.zeros(shape, dtype).at[h : 2 * h].set(1)


def initial_state(recurrence: Recurrence, *pixels: int) -> State:
    """h_0 and c_0, the state outside the image, for pixels of any shape: [*pixels, h]."""
    shape = (*pixels, recurrence.initial_cell.size)
    return State(jnp.broadcast_to(recurrence.initial_hidden, shape), jnp.broadcast_to(recurrence.initial_cell, shape))


def activate(gates: Float32[Array, "*pixels gates"]) -> Float32[Array, "*pixels gates"]:
    """[o, f, i, g]: the sigmoid of the first three gates and the tanh of the last.

    σ(x) = (1 + tanh(x / 2)) / 2, so one elementwise loop computes all four gates.
    """
    h = gates.shape[-1] // 4
    half = np.repeat(np.float32([0.5, 0.5, 0.5, 1]), h)
    return half * jnp.tanh(half * gates) + (1 - half)


def lstm_step(
    state_to_state: Float32[Array, "*D taps h gates"],  # K_ss; of D LSTMs on the first axis of `pixels`, or of one
    neighbours: Float[Array, "*pixels inner"],  # h_{i-1}, the hidden states that the taps of K_ss read, side by side
    cell: Float32[Array, "*pixels h"],  # c_{i-1}
    input_gates: Float[Array, "*pixels gates"],  # K_is ⊛ x_i, with the bias
    precision: str,
) -> tuple[State, Float32[Array, "*pixels gates"]]:
    """Equation 3, for pixels that do not depend on one another.

        [o, f, i, g] = σ(K_ss ⊛ h_{i-1} + K_is ⊛ x_i)
        c_i = f ⊙ c_{i-1} + i ⊙ g
        h_i = o ⊙ tanh(c_i)

    σ is the sigmoid for o, f and i, and tanh for g. The product's factors have the dtype of `neighbours`; it is summed in
    float32. Returns h_i and c_i; and [o, f, i, g].
    """
    kernel = rearrange(state_to_state, "... taps h gates -> ... (taps h) gates").astype(neighbours.dtype)
    state_gates = jnp.matmul(neighbours, kernel, precision=precision, preferred_element_type=jnp.float32)
    activations = activate(input_gates + state_gates)
    o, f, i, g = jnp.split(activations, 4, -1)
    cell = f * cell + i * g
    return State(o * jnp.tanh(cell), cell), activations


def lstm_step_derivative(
    activations: Float[Array, "*pixels gates"],  # [o, f, i, g]
    cell: Float32[Array, "*pixels h"],  # c_{i-1}
    d_state: State,  # the loss's derivatives by h_i, and by c_i except through h_i
) -> tuple[Float32[Array, "*pixels gates"], Float32[Array, "*pixels h"]]:
    """The backward pass of equation 3, with σ' = σ (1 - σ) and tanh' = 1 - tanh².

    Returns the loss's derivatives by K_ss ⊛ h_{i-1} + K_is ⊛ x_i, and by c_{i-1}.
    """
    activations = activations.astype(jnp.float32)
    o, f, i, g = jnp.split(activations, 4, -1)
    tanh_cell = jnp.tanh(f * cell + i * g)
    d_cell = d_state.cell + d_state.hidden * o * (1 - tanh_cell**2)
    d_activations = jnp.concatenate([d_state.hidden * tanh_cell, d_cell * cell, d_cell * g, d_cell * i], -1)
    # One elementwise loop for all four gates: the derivative is (1 - σ) σ where `sigmoid` is 1, and 1 - σ² where it is 0.
    sigmoid = np.repeat(np.float32([1, 1, 1, 0]), cell.shape[-1])
    return d_activations * ((1 - sigmoid) + (sigmoid - activations) * activations), d_cell * f
