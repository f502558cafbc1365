"""Skewing of maps, which turns the diagonals of an image into columns (§3.3 and Figure 3 of the paper).

Row i moves i places to the right: `skew(x)[:, i, i + j] == x[:, i, j]`. Padding and reshaping suffice: rows that are padded to
W + H places and then read as rows of W + H - 1 move one place further to the right each.
"""

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Shaped


def skew(x: Shaped[Array, "B H W C"]) -> Shaped[Array, "B H W+H-1 C"]:
    """Moves each row one place further to the right than the row above, and fills up with zeros."""
    batch, height, width, features = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0)))
    x = x.reshape(batch, height * (width + height), features)[:, : height * (width + height - 1)]
    return x.reshape(batch, height, width + height - 1, features)


def unskew(x: Shaped[Array, "B H columns C"]) -> Shaped[Array, "B H columns+1-H C"]:
    """The inverse of `skew`: moves each row back to the left, and drops what lies outside the image."""
    batch, height, columns, features = x.shape
    x = x.reshape(batch, height * columns, features)
    x = jnp.pad(x, ((0, 0), (0, height), (0, 0)))
    return x.reshape(batch, height, columns + 1, features)[:, :, : columns + 1 - height]


def to_diagonals(x: Shaped[Array, "B H W C"], images: int = 1) -> Shaped[Array, "columns batch H C"]:
    """The columns of skewed maps, on the leading axis. So many `images` lie side by side in a map before it is skewed."""
    return rearrange(skew(rearrange(x, "(b n) h w c -> b h (n w) c", n=images)), "b h columns c -> columns b h c")


def from_diagonals(x: Shaped[Array, "columns batch H C"], images: int = 1) -> Shaped[Array, "B H W C"]:
    """The inverse of `to_diagonals`."""
    return rearrange(unskew(rearrange(x, "columns b h c -> b h columns c")), "b h (n w) c -> (b n) h w c", n=images)
