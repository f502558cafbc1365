"""What every kind of source gives."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Integer

from pixel_rnn_jax.data.image_set import LazyImages

SPLITS = ("train", "validation", "test")


StoredImages = Integer[np.ndarray, "_ _ _ _"] | LazyImages  # [N, H, W, C]; splits differ in N


@dataclasses.dataclass(frozen=True)
class Source:
    """Images as they are stored.

    Attributes:
      splits: images by split: "train", and "validation" and "test" where the source has them.
      levels: number of values that a sub-pixel can take there; None if the source does not say.
      labels: reads the classes of a split's images; None if the source does not know them.
      classes: reads their names, by number; None if they have none.
      contexts: images that those of a split are to be drawn from, where the source has them.
      names: of each split's images, where they have any.
      notes: what the user should know, in a line each.
    """

    splits: dict[str, StoredImages]
    levels: int | None
    labels: Callable[[str], Integer[np.ndarray, " N"]] | None = None
    classes: Callable[[], tuple[str, ...] | None] | None = None
    contexts: dict[str, StoredImages] = dataclasses.field(default_factory=dict)
    names: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
