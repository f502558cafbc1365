"""From a configuration to the images of its splits, and to training batches."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.conditions import check_grey, check_labels, check_paired, grey_set
from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import fit
from pixel_rnn_jax.data.image_set import ImageSet, LazyImages, decoded
from pixel_rnn_jax.data.pipeline import train_batches
from pixel_rnn_jax.data.preprocessing import binarized_once, check_levels_are_used, level_table
from pixel_rnn_jax.data.sources.arrays import read_npy, read_npz
from pixel_rnn_jax.data.sources.digits import read_digits
from pixel_rnn_jax.data.sources.folder import read_folder
from pixel_rnn_jax.data.sources.source import Source, StoredImages
from pixel_rnn_jax.data.sources.tfds import read_tfds
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import is_main


class Examples(NamedTuple):
    """Images, and what each of them is given; both may be taken from in the same way, see `image_set.take`."""

    images: ImageSet
    conditions: Conditions


class SourceKind(NamedTuple):
    """A kind of source: how it is written in a configuration, and what reads it."""

    form: str
    read: Callable[[str, DataConfig, int], Source]


SOURCES = {
    "digits": SourceKind("digits", read_digits),
    "npz": SourceKind("npz:PATH", read_npz),
    "npy": SourceKind("npy:PATH", read_npy),
    "folder": SourceKind("folder:PATH", read_folder),
    "tfds": SourceKind("tfds:NAME", read_tfds),
}


class Dataset:
    """The images that a configuration names, split and treated as it says.

    A source without validation images gives the last tenth of its training images for that. Nothing is decoded before it is
    asked for.

    Args:
      config: where the images are, and how they are treated.
      model: which takes them: its levels and channels, and what it wants to be given.
      classes: names of the model's classes by number, if they have names: classes of other names are refused. If not given,
        those of the source.

    Attributes:
      config: as given.
      image_shape: [H, W, C].
      classes: names of the classes by number, for a class-conditional model; None if they have no names.

    Raises:
      InputError: if the source is unknown or cannot be read, its images do not fit the model, or it lacks what is to be given.
    """

    def __init__(self, config: DataConfig, model: ModelConfig, classes: Sequence[str] | None = None):
        levels, channels = model.levels, model.channels
        kind, _, argument = config.source.partition(":")
        if kind not in SOURCES:
            forms = ", ".join(source.form for source in SOURCES.values())
            raise InputError(f"data.source must be one of {forms}; got {config.source!r}.")
        self.config = config
        source = SOURCES[kind].read(argument, config, channels)
        if is_main():
            for note in source.notes:
                print(note, file=sys.stderr)
        table = level_table(config, source_levels=source.levels, levels=levels)
        self._source_levels = len(table)
        splits = {
            split: _treated(
                images, f"{config.source}: {split}", table=table, levels=levels, size=config.size, channels=channels
            )
            for split, images in _with_validation(source.splits).items()
        }
        shapes = {split: images.shape[1:] for split, images in splits.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"{config.source}: the splits must hold images of one shape; got {shapes}.")
        self.image_shape = shapes["train"]
        self._names = _with_validation(source.names) if source.names else {}
        self._splits = splits
        self._decoded: dict[str, ImageSet] = {}
        self._labels = self._read_labels(source, model)
        self.classes = self._number_classes(source, classes)
        self._contexts = self._pair(source, model)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: "train" and "validation" always, "test" where the source has it."""
        return tuple(self._splits)

    @property
    def final_split(self) -> str:
        """The split that a finished model is scored on: "test", or "validation" if the source has no test images."""
        return "test" if "test" in self._splits else "validation"

    def images(self, split: str) -> ImageSet:
        """The images of a split as an evaluation sees them, in [0, levels): every time the same.

        Args:
          split: one of `splits`.

        Returns:
          An array [N, H, W, C] of uint8; or, if it would be larger than `memory_gib`, a set that decodes when indexed.

        Raises:
          InputError: if there is no such split, or images are damaged or out of range.
        """
        if split not in self._splits:
            raise InputError(f"split must be one of {', '.join(self.splits)} for {self.config.source}; got {split!r}.")
        stored = self._stored(split)
        if self.config.binarization != "stochastic":
            return stored
        return self._kept(f"{split}, binarized", binarized_once(stored, self._source_levels, self.config.seed))

    def examples(self, split: str) -> Examples:
        """The images of a split, see `images`, and what each of them is given."""
        return Examples(self.images(split), self._conditions(split))

    def names(self, split: str) -> Sequence[str]:
        """What tells the images of a split apart for people: their files, where there are such; else their numbers."""
        return self._names.get(split) or [str(number) for number in range(len(self.images(split)))]

    def decode(self) -> None:
        """Decodes now what is to be kept in memory, so that damage shows before work begins."""
        for split in self.splits:
            self._stored(split)

    def train_batches(
        self, *, batch_size: int, seed: int, first_batch: int = 0, share: slice = slice(None)
    ) -> grain.DatasetIterator:
        """Endless training batches, see `batches.train_batches`: binarization and mirroring are fresh in each epoch."""
        return train_batches(
            self._stored("train"),
            self._conditions("train"),
            batch_size=batch_size,
            seed=seed,
            first_batch=first_batch,
            share=share,
            stochastic_levels=self._source_levels if self.config.binarization == "stochastic" else None,
            flip=self.config.flip,
            num_threads=self.config.num_threads,
            num_workers=self.config.num_workers,
        )

    def _read_labels(self, source: Source, model: ModelConfig) -> dict[str, Integer[np.ndarray, " N"]]:
        if not model.num_classes:
            return {}
        if source.labels is None:
            raise InputError(f"{self.config.source} has no labels; a class-conditional model (num_classes > 0) needs them.")
        labels = _with_validation({split: source.labels(split) for split in source.splits})
        for split, of_split in labels.items():
            name, num_images = f"{self.config.source}: {split}", len(self._splits[split])
            check_labels(of_split, name, num_images=num_images, num_classes=model.num_classes)
        return {split: of_split.astype(np.int32) for split, of_split in labels.items()}

    def _number_classes(self, source: Source, classes: Sequence[str] | None) -> tuple[str, ...] | None:
        """Names the classes; if the model has names for them, gives the labels its numbers."""
        names = source.classes() if self._labels and source.classes is not None else None
        if names is None or classes is None:
            return names if classes is None else tuple(classes)
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise InputError(
                f"{self.config.source}: the classes must be among the model's, {', '.join(classes)}; got {', '.join(unknown)}."
            )
        numbers = np.array([classes.index(name) for name in names], np.int32)
        self._labels = {split: numbers[labels] for split, labels in self._labels.items()}
        return tuple(classes)

    def _pair(self, source: Source, model: ModelConfig) -> dict[str, ImageSet]:
        if not model.context_channels:
            if self.config.context == "grey":
                raise InputError("model.context_channels must be 1 with data.context 'grey'; got 0.")
            return {}
        if self.config.context == "grey":
            check_grey(self.config, model)
            return {}  # made when they are asked for, since nothing is decoded before
        if self.config.size is not None:
            raise InputError(f"data.size must not be given with paired images; got {self.config.size}.")
        missing = [f"{split}_context" for split in source.splits if split not in source.contexts]
        if missing:
            raise InputError(
                "the images that a model with context_channels is given must come from an npz file, beside the others, or with"
                f" data.context 'grey' from the images themselves; {self.config.source} has no {', '.join(missing)}."
            )
        contexts = _with_validation(source.contexts)
        for split, images in contexts.items():
            check_paired(images, f"{self.config.source}: {split}", shape=self._splits[split].shape, model=model)
        return {split: images.astype(np.uint8) for split, images in contexts.items()}

    def _conditions(self, split: str) -> Conditions:
        if self.config.context == "grey" and split not in self._contexts:
            self._contexts[split] = grey_set(self._stored(split))
        return Conditions(context=self._contexts.get(split), labels=self._labels.get(split))

    def _stored(self, split: str) -> ImageSet:
        return self._kept(split, self._splits[split])

    def _kept(self, name: str, images: ImageSet) -> ImageSet:
        """The set, decoded into memory the first time, if it fits."""
        if not self.config.fits_in_memory(images.shape):
            return images
        if name not in self._decoded:
            label = f"{self.config.source}, {name}"
            self._decoded[name] = decoded(images, name=label, num_threads=self.config.num_threads)
        return self._decoded[name]


def _treated(
    images: StoredImages,
    name: str,
    *,
    table: UInt8[np.ndarray, " source_levels"],
    levels: int,
    size: tuple[int, int] | None,
    channels: int,
) -> ImageSet:
    """A split in the size asked for and with the table's values; checked, unless it is decoded later."""
    if not len(images):
        raise InputError(f"{name} must hold at least 1 image; got none.")
    treat = functools.partial(_treat, name=name, table=table, size=size, channels=channels)
    if not isinstance(images, LazyImages):
        check_levels_are_used(images, name, source_levels=len(table), levels=levels)
        return treat(images)
    treated = images.map(treat, size=size)
    treated[np.array([0])]  # what is wrong with all of them shows now
    return treated


def _treat(
    batch: Integer[np.ndarray, "B H W C"],
    *,
    name: str,
    table: UInt8[np.ndarray, " source_levels"],
    size: tuple[int, int] | None,
    channels: int,
) -> UInt8[np.ndarray, "B h w C"]:
    try:
        check_images(batch, levels=len(table), channels=channels)
    except InputError as error:
        raise InputError(f"{name}: {error} See model.levels, model.channels and data.source_levels.") from None
    if size is not None and batch.shape[1:3] != size:
        try:
            batch = np.stack([fit(image, size) for image in batch.astype(np.uint8, copy=False)])
        except InputError as error:
            raise InputError(f"{name}: an image {error}.") from None
    return table[batch]


def _with_validation(splits: dict[str, Any]) -> dict[str, Any]:
    if "validation" in splits:
        return splits
    train = splits["train"]
    if len(train) == 1:
        raise InputError("there must be at least 2 training images, since the last tenth is for validation; got 1.")
    count = -(-len(train) // 10)
    carved = {"train": train[: len(train) - count], "validation": train[len(train) - count :]}
    return {**carved, **{split: images for split, images in splits.items() if split != "train"}}
