"""The caches that a decode step reads.

When an image is generated pixel by pixel, each layer leaves a *cache* at every pixel: a tree of arrays for that one pixel, all
that later decode steps need of it. A decode step reads the caches of the four neighbours that come before it in raster order.
"""

from typing import Any, NamedTuple


class Neighbours(NamedTuple):
    """A layer's caches at the neighbours of pixel (i, j).

    Attributes:
      left: at (i, j - 1).
      above_left: at (i - 1, j - 1).
      above: at (i - 1, j).
      above_right: at (i - 1, j + 1).
    """

    left: Any
    above_left: Any
    above: Any
    above_right: Any
