"""Configuration of the data."""

import dataclasses
import math
from collections.abc import Sized
from typing import Any, no_type_check

import numpy as np

from pixel_rnn_jax.errors import InputError, check_integer, check_size

BINARIZATIONS = ("none", "threshold", "stochastic")
CONTEXTS = ("paired", "grey")
ALPHAS = ("error", "white", "black", "drop")
AS_STORED = "values as stored"  # `DataConfig.preprocessing` where nothing is altered


@no_type_check  # __post_init__ checks the fields and raises ValueErrors
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The source of the images and their preprocessing; immutable.

    Attributes:
      source: "digits", "samples:NAME", "npz:PATH", "npy:PATH", "folder:PATH" or "tfds:NAME".
      data_dir: the folder that a relative PATH starts from, by default the current one; for TFDS the directory of prepared
        sets, by default TFDS's own.
      size: height and width, or one number for both: larger images are cut to these proportions around their centre, then
        reduced. None: images keep their size, and all must have the same.
      alpha: of transparent pictures, unless the model has 4 channels: "error" refuses them; "white" and "black" are
        backgrounds that they are put on; "drop" keeps the colours that the transparency hides.
      source_levels: number of values in an array file or in pictures, 2 to 65,536. By default 256 if they are to be binarized
        or quantized, else the model's. Pictures of more than 256 have 16 bits. The other sources know theirs.
      binarization: "none"; "threshold", 1 above one half of the range; or "stochastic", 1 with a probability equal to the
        intensity, drawn anew in each epoch of training and fixed by `seed` in evaluation.
      quantize: reduce the source's levels to the model's, in bins of equal width.
      flip: mirror a random half of the images in training.
      context: context images of a model with `context_channels`: "paired", stored by the source beside the images
        (train_context and so on in an npz file); or "grey", the image itself in grey.
      seed: of the choice of validation images, if the source has none, and of the stochastic binarization in evaluation.
      skip_bad: skip and count the files of a folder that cannot be used, instead of stopping at the first.
      memory_gib: a split of at most this size (GiB) is decoded once and kept; a larger one is decoded in each epoch.
      num_threads: threads that decode images ahead.
      num_workers: processes that decode ahead instead of threads, for a training split too large to keep; 0: none.
    """

    source: str
    data_dir: str | None = None
    size: tuple[int, int] | None = None
    alpha: str = "error"
    source_levels: int | None = None
    binarization: str = "none"
    quantize: bool = False
    flip: bool = False
    context: str = "paired"
    seed: int = 0
    skip_bad: bool = False
    memory_gib: float = 4.0
    num_threads: int = 2
    num_workers: int = 0

    def __post_init__(self):
        if self.size is not None:
            sides = (self.size,) if isinstance(self.size, int) else self.size
            sides = tuple(sides) * 2 if isinstance(sides, Sized) and len(sides) == 1 else sides
            object.__setattr__(self, "size", check_size("data.size", sides))
        if self.source_levels is not None:
            check_integer("data.source_levels", self.source_levels, 2, 65_536)
        for name, choices in (("binarization", BINARIZATIONS), ("context", CONTEXTS), ("alpha", ALPHAS)):
            if getattr(self, name) not in choices:
                raise InputError(f"data.{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        for name in ("quantize", "flip", "skip_bad"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"data.{name} must be True or False; got {getattr(self, name)!r}.")
        if self.binarization != "none" and (self.quantize or self.context == "grey"):
            other = "data.quantize" if self.quantize else "data.context 'grey'"
            raise InputError(f"data.binarization must be 'none' with {other}; got {self.binarization!r}.")
        for name, low in (("seed", 0), ("num_threads", 1), ("num_workers", 0)):
            check_integer(f"data.{name}", getattr(self, name), low)
        if not self.memory_gib >= 0:
            raise InputError(f"data.memory_gib must be a number of at least 0; got {self.memory_gib!r}.")

    @property
    def preprocessing(self) -> str:
        """The preprocessing of evaluation images, in words."""
        size = f"cut and reduced to {self.size[0]}x{self.size[1]}" if self.size else ""
        levels = {
            "none": "quantized" if self.quantize else "",
            "threshold": "binarization by threshold",
            "stochastic": f"stochastic binarization (seed {self.seed})",
        }[self.binarization]
        alpha = {"error": "", "drop": "transparency dropped"}.get(self.alpha, f"transparency on {self.alpha}")
        return ", ".join(filter(None, (alpha, size, levels))) or AS_STORED

    def fits_in_memory(self, images: Any) -> bool:
        """Whether a split is decoded once and kept: any array or set of images, with `shape` and `dtype`."""
        return math.prod(images.shape) * np.dtype(images.dtype).itemsize <= self.memory_gib * 2**30
