"""Images cut into tiles of one size, and joined again."""

import numpy as np
from einops import rearrange
from jaxtyping import Shaped, UInt


def cut(images: Shaped[np.ndarray, "N H W C"], tile: tuple[int, int]) -> Shaped[np.ndarray, "tiles h w C"]:
    """Cuts images into tiles of (height, width), image by image and row by row; edge pixels fill up the last of each."""
    height, width = tile
    over = (0, 0), (0, -images.shape[1] % height), (0, -images.shape[2] % width), (0, 0)
    return rearrange(
        np.pad(images, over, mode="edge"), "n (rows h) (columns w) c -> (n rows columns) h w c", h=height, w=width
    )


def join(tiles: UInt[np.ndarray, "tiles h w C"], num: int, size: tuple[int, int]) -> UInt[np.ndarray, "num H W C"]:
    """The inverse of `cut`, for `num` images of this height and width."""
    rows, columns = -(-size[0] // tiles.shape[1]), -(-size[1] // tiles.shape[2])
    images = rearrange(tiles, "(n rows columns) h w c -> n (rows h) (columns w) c", n=num, rows=rows, columns=columns)
    return images[:, : size[0], : size[1]]
