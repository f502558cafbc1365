"""What every kind of source gives."""

import dataclasses

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
      notes: what the user should know, in a line each.
    """

    splits: dict[str, StoredImages]
    levels: int | None
    notes: tuple[str, ...] = ()
