"""What a configuration says about its data."""

import dataclasses
import operator
from typing import no_type_check

from pixel_rnn_jax.errors import InputError, check_integer

BINARIZATIONS = ("none", "threshold", "stochastic")
CONTEXTS = ("paired", "grey")


@no_type_check  # __post_init__ checks the fields, with ValueErrors
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where images come from, and how they are treated; immutable.

    Attributes:
      source: "digits", "npz:PATH", "npy:PATH", "folder:PATH" or "tfds:NAME".
      data_dir: where a relative PATH starts, by default the current folder; for TFDS the directory of prepared sets, by
        default TFDS's own.
      size: height and width, or one number for both: images of another size are cut to this shape around their centre, and
        reduced. None: they are taken as they are, and must be of one size.
      source_levels: number of values in an array file, 256 by default; needed where they are to be binarized or quantized.
        All other sources know it.
      binarization: "none"; "threshold", 1 above one half of the range; or "stochastic", 1 with the probability that the
        intensity is, fresh for each epoch in training, and fixed by `seed` in evaluation.
      quantize: reduce the source's levels to the model's, by bins of one width.
      flip: mirror half of the images in training, at random.
      context: what a model with `context_channels` is given: "paired", the images that the source has beside those to be drawn
        (train_context and so on in an npz file); or "grey", the image itself in grey.
      seed: of the stochastic binarization in evaluation.
      skip_bad: leave out files of a folder that cannot be used, and count them, instead of stopping at the first.
      memory_gib: a split of at most this size (GiB of uint8) is decoded once and kept; a larger one is read anew each time.
      num_threads: that decode images ahead, where they are not in memory, and at the start.
      num_workers: processes that do so instead, for a training split that is not kept in memory; 0: none.

    Raises:
      InputError: (a ValueError) if a field has the wrong type, range or name.
    """

    source: str
    data_dir: str | None = None
    size: tuple[int, int] | None = None
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
        if not isinstance(self.source, str):
            raise InputError(f"data.source must be a string; got {self.source!r}.")
        if self.size is not None:
            object.__setattr__(self, "size", _height_and_width(self.size))
        if self.source_levels is not None:
            check_integer("data.source_levels", self.source_levels, 2, 256)
        if self.binarization not in BINARIZATIONS:
            raise InputError(f"data.binarization must be one of {', '.join(BINARIZATIONS)}; got {self.binarization!r}.")
        if self.context not in CONTEXTS:
            raise InputError(f"data.context must be one of {', '.join(CONTEXTS)}; got {self.context!r}.")
        for name in ("quantize", "flip", "skip_bad"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"data.{name} must be True or False; got {getattr(self, name)!r}.")
        if self.quantize and self.binarization != "none":
            raise InputError(f"data.quantize goes with data.binarization 'none' only; got {self.binarization!r}.")
        check_integer("data.seed", self.seed, 0)
        check_integer("data.num_threads", self.num_threads, 1)
        check_integer("data.num_workers", self.num_workers, 0)
        if not isinstance(self.data_dir, (str, type(None))):
            raise InputError(f"data.data_dir must be a string; got {self.data_dir!r}.")
        if not isinstance(self.memory_gib, (int, float)) or not self.memory_gib >= 0:
            raise InputError(f"data.memory_gib must be a number of at least 0; got {self.memory_gib!r}.")

    @property
    def treatment(self) -> str:
        """How the images of an evaluation are treated, in words."""
        words = []
        if self.size is not None:
            words.append(f"cut and reduced to {self.size[0]}x{self.size[1]}")
        if self.binarization == "stochastic":
            words.append(f"stochastic binarization (seed {self.seed})")
        elif self.binarization == "threshold":
            words.append("binarization by threshold")
        elif self.quantize:
            words.append("quantized")
        return ", ".join(words) or "values as stored"

    def fits_in_memory(self, shape: tuple[int, ...]) -> bool:
        """Whether a split of this shape is to be decoded once and kept."""
        count, height, width, channels = shape
        return count * height * width * channels <= self.memory_gib * 2**30


def _height_and_width(size):
    try:
        size = (size,) if isinstance(size, int) and not isinstance(size, bool) else tuple(size)
        height, width = map(operator.index, size * 2 if len(size) == 1 else size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise InputError(f"data.size must be one or two integers of at least 1, height and width; got {size!r}.")
    return height, width
