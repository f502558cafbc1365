"""What every kind of source provides, and how validation images are taken from those for training."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.errors import InputError

SPELLINGS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test", "testing")}
SPLITS = tuple(SPELLINGS)
StoredImages = Shaped[np.ndarray, "..."] | LazyImages  # integers [N, H, W, C], but arrays are not checked yet


@dataclasses.dataclass(frozen=True)
class Source:
    """Images as they are stored, and what the source has beside them, by split: "train" and, if there are, the others."""

    images: dict[str, StoredImages]
    levels: int | None  # number of values that a sub-pixel can take, if the source tells
    labels: dict[str, Shaped[np.ndarray, "..."]] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] | None = None  # their names by number
    contexts: dict[str, StoredImages] = dataclasses.field(default_factory=dict)
    names: dict[str, Shaped[np.ndarray, " _"]] = dataclasses.field(default_factory=dict)  # of the images' files
    copies: Integer[np.ndarray, " N"] | None = None  # of each training image, the number of the first that is the same
    in_published_order: bool = False  # so that the last training images are the usual ones for validation

    def with_validation(self, seed: int) -> "Source":
        """Takes a tenth of the training images for validation, if the source has no others.

        They are drawn by the seed; of a published set they are its last ones. Copies of an image stay on one side.
        """
        if "validation" in self.images:
            return self
        num = len(self.images["train"])
        first = np.arange(num) if self.copies is None else self.copies
        different = np.unique(first)
        if len(different) == 1:
            raise InputError("there must be at least 2 different training images, since a tenth is for validation; got 1.")
        order = different if self.in_published_order else np.random.default_rng(seed).permutation(different)
        chosen = np.isin(first, order[len(order) - -(-len(order) // 10) :])
        rows = {"train": np.flatnonzero(~chosen), "validation": np.flatnonzero(chosen)}
        carved = {}
        for field in ("images", "labels", "contexts", "names"):
            by_split = getattr(self, field)
            if "train" in by_split:
                if by_split["train"].shape[:1] != (num,):
                    got = by_split["train"].shape
                    raise InputError(f"train: {field} must be as many as the images, {num}; got shape {got}.")
                carved[field] = {split: _subset(by_split["train"], rows[split]) for split in rows}
                carved[field] |= {split: values for split, values in by_split.items() if split != "train"}
        return dataclasses.replace(self, **carved, copies=None)


def _subset(values: Any, rows: Integer[np.ndarray, " _"]) -> Any:
    return values.subset(rows) if isinstance(values, LazyImages) else values[rows]


def by_split(names: Iterable[str], place: Any) -> dict[str, str]:
    """Those of the names (of folders or arrays in a place) that mean a split, in any case and spelling, by split."""
    found = {}
    for name in names:
        for split, spellings in SPELLINGS.items():
            if name.lower() in spellings:
                if split in found:
                    raise InputError(f"{place} must hold one of each split; {found[split]} and {name} both mean {split}.")
                found[split] = name
    return {split: found[split] for split in SPLITS if split in found}
