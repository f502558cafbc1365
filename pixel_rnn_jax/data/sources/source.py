"""What every kind of source provides."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.errors import InputError

SPLITS = ("train", "validation", "test")


StoredImages = Integer[np.ndarray, "_ _ _ _"] | LazyImages  # [N, H, W, C]; splits differ in N


class Labels(NamedTuple):
    """Classes of the images by split, each [N]; and names of the classes by number, if they have names."""

    numbers: dict[str, Integer[np.ndarray, " _"]]
    names: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """Images as they are stored.

    Attributes:
      images: by split: "train" always, "validation" and "test" where the source has them.
      levels: number of values that a sub-pixel can take; None if the source does not tell.
      read_labels: reads the class labels; None if the source has none.
      contexts: context images by split, paired with `images`; empty if there are none.
      names: file names by split; empty if images have no names.
      notes: lines to print for the user.
    """

    images: dict[str, StoredImages]
    levels: int | None
    read_labels: Callable[[], Labels] | None = None
    contexts: dict[str, StoredImages] = dataclasses.field(default_factory=dict)
    names: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_validation(self) -> "Source":
        """Carves the validation split from the last tenth of the training split, if the source has none."""
        if "validation" in self.images:
            return self
        num = len(self.images["train"])
        if num == 1:
            raise InputError("there must be at least 2 training images, since the last tenth is for validation; got 1.")
        num_train = num - -(-num // 10)

        def carve(splits: dict[str, Any]) -> dict[str, Any]:
            if "train" not in splits:
                return splits
            carved = {"train": splits["train"][:num_train], "validation": splits["train"][num_train:]}
            return carved | {split: values for split, values in splits.items() if split not in carved}

        def read_labels() -> Labels:
            numbers, names = self.read_labels()
            return Labels(carve(numbers), names)

        return dataclasses.replace(
            self,
            images=carve(self.images),
            read_labels=self.read_labels and read_labels,
            contexts=carve(self.contexts),
            names=carve(self.names),
        )
