"""Masks of convolution kernels: which weights may be other than zero (§3.4 and Figure 4 of the paper).

Both the order of pixels (raster order) and the order of colours inside a pixel (R, then G, then B) are kept by zeroing
weights. At every layer the features split into one group for each colour; a weight at the kernel's centre connects two groups
of the same pixel, and the mask type says which pairs are allowed.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int

from pixel_rnn_jax.errors import InputError

MASK_TYPES = ("A", "B")


def channel_groups(features: int, channels: int, gates: int = 1) -> Int[np.ndarray, " {gates}*{features}"]:
    """The colour that each feature belongs to: contiguous groups, as even as can be.

    Args:
      features: number of features, or features of each gate; at least `channels`. It need not be divisible by `channels`.
      channels: number of colours.
      gates: number of gates that lie side by side on the feature axis. Each gate is split on its own: splitting the axis
        of 4h features as one would mix the colours inside a gate, because every gate is later read by the same h features.

    Returns:
      Group indices from 0 to channels - 1.

    Raises:
      InputError: if there are fewer features than channels.
    """
    if features < channels:
        raise InputError(f"features (={features}) must be at least channels (={channels}), one group for each colour.")
    return np.tile(np.arange(features) * channels // features, gates)


def kernel_mask(
    kernel_size: tuple[int, int],
    in_groups: Int[np.ndarray, " in"] | Sequence[int],
    out_groups: Int[np.ndarray, " out"] | Sequence[int],
    mask_type: str,
) -> Float32[np.ndarray, "height width in out"]:
    """The mask of a convolution kernel: 1 where a weight is allowed, 0 elsewhere.

    Weights before the centre in raster order are allowed, weights after it are not. At the centre, mask A lets a colour see
    the earlier colours of its own pixel (in_group < out_group), mask B also itself (in_group <= out_group).

    Args:
      kernel_size: odd height and width of the kernel.
      in_groups: colour of each input feature.
      out_groups: colour of each output feature.
      mask_type: "A" (first layer only) or "B" (every layer after it).

    Raises:
      InputError: if the kernel size is even or the mask type unknown.
    """
    height, width = kernel_size
    if height % 2 == 0 or width % 2 == 0:
        raise InputError(f"kernel_size must be odd, so that the kernel has a centre; got {kernel_size}.")
    if mask_type not in MASK_TYPES:
        raise InputError(f"mask_type must be one of {', '.join(MASK_TYPES)}; got {mask_type!r}.")
    of, to = np.asarray(in_groups)[:, None], np.asarray(out_groups)[None, :]
    mask = np.zeros((height, width, of.size, to.size), np.float32)
    mask[: height // 2] = 1
    mask[height // 2, : width // 2] = 1
    mask[height // 2, width // 2] = of < to if mask_type == "A" else of <= to
    return mask
