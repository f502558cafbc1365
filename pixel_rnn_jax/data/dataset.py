"""From a configuration to the images of its splits, and to training batches."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np
from jaxtyping import Integer

from pixel_rnn_jax.data.conditioning import check_grey, grey, renumbered
from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import Examples, ImageSet, LazyImages, decoded
from pixel_rnn_jax.data.pipeline import train_batches
from pixel_rnn_jax.data.preprocessing import RandomPreprocessing, binarized_once, level_table, preprocess
from pixel_rnn_jax.data.sources import open_source
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions, plain
from pixel_rnn_jax.models.config import ModelConfig


class Dataset:
    """The images that a configuration names, split, preprocessed, and checked against the model that they must fit.

    If the source has no validation images, a tenth of its training images becomes the validation split, unless `carve` is
    False. Pictures are decoded when they are first asked for. `classes` are names of the model's classes by number, by default
    the source's; a source with other classes is refused.
    """

    def __init__(self, config: DataConfig, model: ModelConfig, classes: Sequence[str] | None = None, *, carve: bool = True):
        self.config = config
        size = config.size if model.input == "scaled" else None  # values without order have no mean
        source = open_source(dataclasses.replace(config, size=size), model)
        table = level_table(config, source_levels=source.levels, levels=model.levels)
        self._source_levels = len(table)
        if carve:
            with about(f"{config.source}:"):
                source = source.with_validation(config.seed)
        if classes is not None:
            source = renumbered(source, classes, config.source)
        self._images = {
            split: preprocess(images, f"{config.source}: {split}", table, model, size)
            for split, images in source.images.items()
        }
        shapes = {split: images.shape[1:] for split, images in self._images.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"{config.source}: the splits must hold images of one shape; got {shapes}.")
        self.image_shape = shapes["train"]
        if config.size not in (size, self.image_shape[:2]):
            raise InputError(
                f"{config.source}: with model.input=embedding, data.size must be None or that of the images,"
                f" {self.image_shape[:2]}; got {config.size}. Values without order cannot be averaged."
            )
        self._names = source.names
        self.classes = source.classes
        self._conditions = self._checked_conditions(source, model)
        self._decoded: dict[str, ImageSet] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: "train" and "validation" always, "test" where the source has it."""
        return tuple(self._images)

    @property
    def final_split(self) -> str:
        """The split that a finished model is scored on: "test", or "validation" if the source has no test images."""
        return "test" if "test" in self._images else "validation"

    def images(self, split: str) -> ImageSet:
        """The images of a split as an evaluation sees them, in [0, levels), the same at every call.

        An array; or, if it would be larger than `memory_gib`, a set that decodes when indexed.
        """
        if split not in self._images:
            raise InputError(f"split must be one of {', '.join(self.splits)} for {self.config.source}; got {split!r}.")
        stored = self._stored(split)
        if self.config.binarization != "stochastic":
            return stored
        return self._kept(f"{split}, binarized", binarized_once(stored, self._source_levels, self.config.seed))

    def examples(self, split: str) -> Examples:
        """The images of a split, see `images`, and their conditioning."""
        return Examples(self.images(split), self._conditions_of(split))

    def labels(self, split: str) -> Integer[np.ndarray, " N"] | None:
        """The class of each image of a split; None without classes. Decodes no images."""
        return self._conditions[split].labels

    def names(self, split: str) -> Sequence[str]:
        """Names of a split's images: their files, if they have any, else their numbers."""
        return (
            self._names[split].tolist() if split in self._names else [str(number) for number in range(len(self.images(split)))]
        )

    def decode(self) -> None:
        """Decodes now all splits that are kept in memory, so that damage shows before work begins."""
        for split in self.splits:
            self._stored(split)

    def train_batches(self, **options: Any) -> grain.DatasetIterator:
        """Endless training batches: `batch_size`, `seed`, `first_batch` and `share` are those of `pipeline.train_batches`."""
        stochastic = self.config.binarization == "stochastic"
        return train_batches(
            Examples(self._stored("train"), self._conditions_of("train")),
            RandomPreprocessing(self.config.flip, self._source_levels if stochastic else None),
            num_threads=self.config.num_threads,
            num_workers=self.config.num_workers,
            **options,
        )

    def _checked_conditions(self, source: Source, model: ModelConfig) -> dict[str, Conditions]:
        """The conditions by split that the source stores and the model takes; context images in grey are made later."""
        if self.config.context == "grey":
            check_grey(model)
            model = dataclasses.replace(model, context_channels=0)
        conditions = {}
        for split, images in self._images.items():
            context = source.contexts.get(split) if model.context_channels else None
            labels = source.labels.get(split) if model.num_classes else None
            with about(f"{self.config.source}: {split}:"):
                check_conditions(model, Conditions(context, labels), images.shape[:3])
            conditions[split] = plain(model, Conditions(context, labels))
        return conditions

    def _conditions_of(self, split: str) -> Conditions:
        conditions = self._conditions[split]
        if self.config.context == "grey" and conditions.context is None:
            images = self._stored(split)
            context = images.map(grey, channels=1) if isinstance(images, LazyImages) else grey(images)
            conditions = self._conditions[split] = conditions._replace(context=context)
        return conditions

    def _stored(self, split: str) -> ImageSet:
        """A split without random preprocessing."""
        return self._kept(split, self._images[split])

    def _kept(self, name: str, images: ImageSet) -> ImageSet:
        """The set; decoded at the first call and kept, if it fits in memory."""
        if not self.config.fits_in_memory(images):
            return images
        if name not in self._decoded:
            label = f"{self.config.source}, {name}"
            self._decoded[name] = decoded(images, name=label, num_threads=self.config.num_threads)
        return self._decoded[name]
