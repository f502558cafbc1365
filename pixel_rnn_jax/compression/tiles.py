"""Images cut into tiles of one size, and joined again."""

import numpy as np
from jaxtyping import Shaped, UInt8


def cut(images: Shaped[np.ndarray, "N H W C"], tile: tuple[int, int]) -> Shaped[np.ndarray, "tiles h w C"]:
    """Cuts images into tiles, row by row; the last ones of a row or a column repeat the image's last pixels to be full.

    Args:
      images: of one size.
      tile: height and width.

    Returns:
      The tiles of the first image, then those of the second, and so on.
    """
    num, height, width, channels = images.shape
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    over = (0, 0), (0, rows * tile[0] - height), (0, columns * tile[1] - width), (0, 0)
    tiles = np.pad(images, over, mode="edge").reshape(num, rows, tile[0], columns, tile[1], channels)
    return tiles.swapaxes(2, 3).reshape(-1, *tile, channels)


def join(tiles: UInt8[np.ndarray, "tiles h w C"], num: int, size: tuple[int, int]) -> UInt8[np.ndarray, "num H W C"]:
    """The inverse of `cut`.

    Args:
      tiles: of all images.
      num: number of images.
      size: their height and width.

    Returns:
      The images.
    """
    _, tile_height, tile_width, channels = tiles.shape
    rows, columns = -(-size[0] // tile_height), -(-size[1] // tile_width)
    images = tiles.reshape(num, rows, columns, tile_height, tile_width, channels).swapaxes(2, 3)
    return images.reshape(num, rows * tile_height, columns * tile_width, channels)[:, : size[0], : size[1]]
