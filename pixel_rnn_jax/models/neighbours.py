"""What a pixel's visit needs of the pixels before it.

Where an image is drawn pixel by pixel, each layer leaves a *cell* behind at every pixel: a tree of maps of that one pixel, all
that later visits need of it. A visit reads the cells of the four neighbours that come before in raster order.
"""

from typing import Any, NamedTuple


class Neighbours(NamedTuple):
    """The cells that a layer left at the neighbours of pixel (i, j).

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
