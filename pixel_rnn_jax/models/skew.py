"""Skewing of maps, so that a diagonal of the image becomes a column (§3.3 and Figure 3 of the paper).

Row i moves i places to the right: `skew(x)[:, i, i + j] == x[:, i, j]`. Padding and reshaping is all that it takes: rows that
are one cell longer than the map is wide fall one place further to the right with each row.
"""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def skew(x: Shaped[Array, "B H W C"]) -> Shaped[Array, "B H W+H-1 C"]:
    """Offsets each row by one position from the row above; the cells that come in are zero."""
    batch, height, width, features = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0)))
    x = x.reshape(batch, height * (width + height), features)[:, : height * (width + height - 1)]
    return x.reshape(batch, height, width + height - 1, features)


def unskew(x: Shaped[Array, "B H columns C"]) -> Shaped[Array, "B H columns+1-H C"]:
    """The inverse of `skew`: takes each row back to the left and drops the cells outside the image."""
    batch, height, columns, features = x.shape
    x = x.reshape(batch, height * columns, features)
    x = jnp.pad(x, ((0, 0), (0, height), (0, 0)))
    return x.reshape(batch, height, columns + 1, features)[:, :, : columns + 1 - height]


def to_diagonals(x: Shaped[Array, "B H W C"], images: int = 1) -> Shaped[Array, "columns batch H C"]:
    """The columns of skewed maps, one after the other.

    Args:
      x: the maps.
      images: how many of them lie side by side, as one map of `images * W` columns, before they are skewed.

    Returns:
      `images * W + H - 1` columns of `B / images` maps.
    """
    batch, height, width, features = x.shape
    x = jnp.swapaxes(x.reshape(batch // images, images, height, width, features), 1, 2)
    x = skew(x.reshape(batch // images, height, images * width, features))
    return jnp.transpose(x, (2, 0, 1, 3))


def from_diagonals(x: Shaped[Array, "columns batch H C"], images: int = 1) -> Shaped[Array, "B H W C"]:
    """The inverse of `to_diagonals`."""
    x = unskew(jnp.transpose(x, (1, 2, 0, 3)))
    batch, height, width, features = x.shape
    x = jnp.swapaxes(x.reshape(batch, height, images, width // images, features), 1, 2)
    return x.reshape(batch * images, height, width // images, features)
