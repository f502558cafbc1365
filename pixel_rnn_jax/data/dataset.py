"""From a configuration to the images of its splits, and to training batches."""

import dataclasses
import sys
from collections.abc import Sequence

import grain

from pixel_rnn_jax.data.conditioning import grey, read_contexts, read_labels
from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import Examples, ImageSet, LazyImages, decoded
from pixel_rnn_jax.data.pipeline import train_batches
from pixel_rnn_jax.data.preprocessing import Preprocessing, RandomPreprocessing, binarized_once, level_table
from pixel_rnn_jax.data.sources import open_source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import is_main


class Dataset:
    """The images that a configuration names, split, preprocessed, and checked against the model that they must fit.

    If the source has no validation images, the last tenth of its training images becomes the validation split. Pictures are
    decoded when they are first asked for.

    Args:
      config: source and preprocessing.
      model: its levels, channels, classes and context.
      classes: names of the model's classes by number, if they have names; a source with other classes is refused.

    Attributes:
      config: the configuration.
      image_shape: [H, W, C].
      classes: names of the classes by number, by default the source's; None if they have no names.
    """

    def __init__(self, config: DataConfig, model: ModelConfig, classes: Sequence[str] | None = None):
        self.config = config
        source = open_source(config, model.channels)
        if is_main():
            for note in source.notes:
                print(note, file=sys.stderr)
        table = level_table(config, source_levels=source.levels, levels=model.levels)
        self._source_levels = len(table)
        source = dataclasses.replace(source, contexts=read_contexts(source, config, model)).with_validation()
        preprocessing = Preprocessing(table, model.levels, model.channels, config.size)
        self._images = {
            split: preprocessing.apply(images, f"{config.source}: {split}") for split, images in source.images.items()
        }
        shapes = {split: images.shape[1:] for split, images in self._images.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"{config.source}: the splits must hold images of one shape; got {shapes}.")
        self.image_shape = shapes["train"]
        self._names = source.names
        self._labels, self.classes = read_labels(source, config, model, classes)
        self._contexts: dict[str, ImageSet] = {**source.contexts}
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
        return Examples(self.images(split), self._conditions(split))

    def names(self, split: str) -> Sequence[str]:
        """Names of a split's images: their files, if they have any, else their numbers."""
        return self._names.get(split) or [str(number) for number in range(len(self.images(split)))]

    def decode(self) -> None:
        """Decodes now all splits that are kept in memory, so that damage shows before work begins."""
        for split in self.splits:
            self._stored(split)

    def train_batches(
        self, *, batch_size: int, seed: int, first_batch: int = 0, share: slice = slice(None)
    ) -> grain.DatasetIterator:
        """Endless training batches, see `pipeline.train_batches`; random preprocessing is fresh in each epoch."""
        stochastic = self.config.binarization == "stochastic"
        return train_batches(
            Examples(self._stored("train"), self._conditions("train")),
            RandomPreprocessing(self.config.flip, self._source_levels if stochastic else None),
            batch_size=batch_size,
            seed=seed,
            first_batch=first_batch,
            share=share,
            num_threads=self.config.num_threads,
            num_workers=self.config.num_workers,
        )

    def _conditions(self, split: str) -> Conditions:
        if self.config.context == "grey" and split not in self._contexts:
            images = self._stored(split)
            self._contexts[split] = images.map(grey, channels=1) if isinstance(images, LazyImages) else grey(images)
        return Conditions(context=self._contexts.get(split), labels=self._labels.get(split))

    def _stored(self, split: str) -> ImageSet:
        """A split without random preprocessing."""
        return self._kept(split, self._images[split])

    def _kept(self, name: str, images: ImageSet) -> ImageSet:
        """The set; decoded at the first call and kept, if it fits in memory."""
        if not self.config.fits_in_memory(images.shape):
            return images
        if name not in self._decoded:
            label = f"{self.config.source}, {name}"
            self._decoded[name] = decoded(images, name=label, num_threads=self.config.num_threads)
        return self._decoded[name]
