"""The LSTM step (equation 3 of the paper), shared by the Row LSTM and the Diagonal BiLSTM.

Both layers sweep over the image and hold the states of one row, or of one diagonal, at a time. That line of states lies along
the leading axis, [N, B, h]: to read a neighbour is to shift the leading axis, and each step is one matrix product.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.conditions import Context
from pixel_rnn_jax.conv import MaskedConv


class State(NamedTuple):
    """Hidden state h and cell state c of pixels: of a line, [N, B, h], or of one, [B, 1, 1, h]."""

    hidden: Float32[Array, "*pixels h"]
    cell: Float32[Array, "*pixels h"]


class Recurrence(NamedTuple):
    """The parameters that a step of the sweep needs.

    Attributes:
      state_to_state: K_ss, not masked. Tap k reads the hidden state of neighbour n - 1 + k in the previous line.
      initial_hidden: h_0, the learned state outside the image.
      initial_cell: c_0, likewise.
    """

    state_to_state: Float32[Array, "taps h 4*h"]
    initial_hidden: Float32[Array, " h"]
    initial_cell: Float32[Array, " h"]


class LSTM(nn.Module):
    """The parameters of one LSTM: its input-to-state convolution K_is (with bias), what the context adds, and its recurrence.

    Attributes:
      features: h, the number of hidden features.
      channels: number of colour channels.
      kernel_width: width of K_is along the row; masked (B).
      taps: number of neighbours that K_ss reads: 3 (n - 1, n, n + 1) or 2 (n - 1, n).
      dtype: of products and of the input-to-state map; parameters and states are float32.
    """

    features: int
    channels: int
    kernel_width: int
    taps: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        """Makes the submodules."""
        h = self.features
        self.input_to_state = MaskedConv(
            h, self.channels, (1, self.kernel_width), "B", gates=4, dtype=self.dtype, bias_init=open_forget_gates
        )
        self.context_to_state = nn.Dense(4 * h, use_bias=False, dtype=self.dtype)
        self.recurrence = Recurrence(
            self.param("state_to_state", nn.initializers.lecun_normal(in_axis=(0, 1), batch_axis=()), (self.taps, h, 4 * h)),
            self.param("initial_hidden", nn.initializers.zeros, (h,)),
            self.param("initial_cell", nn.initializers.zeros, (h,)),
        )

    def input_gates(
        self, x: Float[Array, "B rows columns in"], context: Context | None, *, pad: bool = True
    ) -> Float[Array, "B H W 4*{self.features}"]:
        """The part of the gates that does not depend on the state: K_is ⊛ x, and an unmasked 1x1 convolution of the context.

        "For each layer in the conditional PixelRNN, one applies a 1x1 unmasked convolutional layer that maps the upsampled
        image into a map that is added to the input-to-state map of the corresponding layer" (§3.6).

        Args:
          x: the layer's input; with a margin of its own, unless `pad`.
          context: see `Context`; None in a model without one.
          pad: whether to add the margin.
        """
        gates = self.input_to_state(x, pad=pad)
        return gates if context is None else gates + self.context_to_state(context)


def open_forget_gates(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> Float[Array, " gates"]:
    """A bias of 1 for the forget gates and 0 for the others, so that memory lasts from the first training step."""
    h = shape[0] // 4
    return jnp.zeros(shape, dtype).at[h : 2 * h].set(1)


def initial_state(recurrence: Recurrence, *pixels: int) -> State:
    """The state of pixels outside the image: h_0 and c_0 everywhere; of any shape, [*pixels, h]."""
    return State(
        *(jnp.broadcast_to(state, (*pixels, state.size)) for state in (recurrence.initial_hidden, recurrence.initial_cell))
    )


def line_neighbours(
    outside: Float[Array, "1 B h"], hidden: Float[Array, "*lines N B h"], taps: int
) -> list[Float[Array, "*lines N B h"]]:
    """For each tap of K_ss, the hidden states that a line of pixels reads in the line before.

    Args:
      outside: h_0, which is what taps outside the line read.
      hidden: of the line before; or of many lines.
      taps: their number.
    """
    length = hidden.shape[-3]
    edge = jnp.broadcast_to(outside, (*hidden.shape[:-3], *outside.shape)).astype(hidden.dtype)
    line = jnp.concatenate([edge, hidden] + [edge] * (taps - 2), -3)
    return [line[..., tap : tap + length, :, :] for tap in range(taps)]


def recurrent_gates(
    state_to_state: Float32[Array, "taps h gates"], neighbours: list[Float[Array, "*pixels h"]], dtype: DTypeLike
) -> Float32[Array, "*pixels gates"]:
    """K_ss ⊛ h, by a product of this type that is summed up in float32."""
    kernel = state_to_state.reshape(-1, state_to_state.shape[-1]).astype(dtype)
    return jnp.matmul(jnp.concatenate(neighbours, -1).astype(dtype), kernel, preferred_element_type=jnp.float32)


def lstm_cell(
    state_to_state: Float32[Array, "taps h gates"],
    neighbours: list[Float32[Array, "*pixels h"]],
    cell: Float32[Array, "*pixels h"],
    input_gates: Float[Array, "*pixels gates"],
) -> State:
    """Equation 3, for any pixels that do not depend on one another.

        [o, f, i, g] = σ(K_ss ⊛ h_{i-1} + K_is ⊛ x_i)
        c_i = f ⊙ c_{i-1} + i ⊙ g
        h_i = o ⊙ tanh(c_i)

    σ is the sigmoid for o, f and i, and tanh for g.

    Args:
      state_to_state: K_ss.
      neighbours: for each tap of K_ss, the hidden states that it reads.
      cell: c_{i-1}.
      input_gates: K_is ⊛ x_i, with the bias. Their type is that in which K_ss ⊛ h_{i-1} is computed; sums and states are
        float32.

    Returns:
      h_i and c_i.
    """
    gates = input_gates + recurrent_gates(state_to_state, neighbours, input_gates.dtype)
    o, f, i, g = jnp.split(gates, 4, -1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return State(jax.nn.sigmoid(o) * jnp.tanh(cell), cell)
