"""What every kind of source provides."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.errors import InputError

SPLITS = ("train", "validation", "test")
StoredImages = Shaped[np.ndarray, "..."] | LazyImages  # integers [N, H, W, C], but arrays are not checked yet


@dataclasses.dataclass(frozen=True)
class Source:
    """Images as they are stored, and what the source has beside them, by split: "train" and, if there are, the others."""

    images: dict[str, StoredImages]
    levels: int | None  # number of values that a sub-pixel can take, if the source tells
    labels: dict[str, Shaped[np.ndarray, "..."]] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] | None = None  # their names by number
    contexts: dict[str, StoredImages] = dataclasses.field(default_factory=dict)
    names: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # of the images' files

    def with_validation(self) -> "Source":
        """Carves the validation split from the last tenth of the training split, if the source has none."""
        num = len(self.images["train"])
        if "validation" in self.images:
            return self
        if num == 1:
            raise InputError("there must be at least 2 training images, since the last tenth is for validation; got 1.")

        def carve(splits: dict[str, Any]) -> dict[str, Any]:
            if "train" not in splits:
                return splits
            num_train = num - -(-num // 10)
            return {"train": splits["train"][:num_train], "validation": splits["train"][num_train:]} | {
                split: values for split, values in splits.items() if split != "train"
            }

        carved = {name: carve(getattr(self, name)) for name in ("images", "labels", "contexts", "names")}
        return dataclasses.replace(self, **carved)
