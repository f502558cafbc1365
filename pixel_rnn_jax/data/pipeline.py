"""Grain pipelines of batches, for training and for evaluation."""

import functools
from collections.abc import Iterable
from typing import TypedDict

import grain
import numpy as np
from absl import flags
from jaxtyping import Bool, Integer, UInt8

from pixel_rnn_jax.data.image_set import ImageSet, LazyImages, read_ahead, take
from pixel_rnn_jax.data.preprocessing import binarize, mirror
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions


class Batch(TypedDict):
    """What the pipelines yield.

    Attributes:
      image: uint8 [B, H, W, C] in [0, levels).
      conditions: what each image is given.
      mask: bool [B], False for what only fills up the last batch of an evaluation.
    """

    image: UInt8[np.ndarray, "B H W C"]
    conditions: Conditions
    mask: Bool[np.ndarray, " B"]


def train_batches(
    images: ImageSet,
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int,
    seed: int,
    first_batch: int = 0,
    share: slice = slice(None),
    stochastic_levels: int | None = None,
    flip: bool = False,
    num_threads: int = 1,
    num_workers: int = 0,
) -> grain.DatasetIterator:
    """An endless iterator of training batches; each epoch is shuffled anew.

    The batch of all processes together depends on `seed` and its number alone, and each process gets its share of it. So the
    position of a training is the number of batches it has seen, whatever the number of processes.

    Args:
      images: the training images.
      conditions: what each of them is given: sets as long as that of the images.
      batch_size: images in a batch, of all processes together.
      seed: of the order of images and of the random part of their treatment.
      first_batch: number of the batch to begin with.
      share: the rows of each batch that are wanted; all, if not given.
      stochastic_levels: the images' levels, if they are to be binarized stochastically.
      flip: mirror half of the images.
      num_threads: that decode batches ahead, where images are not in memory.
      num_workers: processes that do so instead; 0: none.

    Returns:
      A Grain iterator of `Batch`, each of that share.
    """
    gather = functools.partial(
        _gather,
        images=images,
        conditions=conditions,
        seed=seed,
        share=share,
        stochastic_levels=stochastic_levels,
        flip=flip,
    )
    # Indices travel through the pipeline, and a batch of images is gathered at once: five times faster than one by one.
    order = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat().batch(batch_size)
    batches = order.map_with_index(gather).slice(slice(first_batch, None))
    if num_workers and isinstance(images, LazyImages):
        if not flags.FLAGS.is_parsed():  # Grain asks its own flags for the workers; nobody here parses them
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
        return iter(batches.to_iter_dataset(read_ahead(images, 1)).mp_prefetch(options))
    return iter(batches.to_iter_dataset(read_ahead(images, num_threads)))


def _gather(
    number: int,
    indices: Integer[np.ndarray, " B"],
    *,
    images: ImageSet,
    conditions: Conditions,
    seed: int,
    share: slice,
    stochastic_levels: int | None,
    flip: bool,
) -> Batch:
    """The share of a batch. Random numbers are drawn for the whole batch, whatever the share."""
    batch, given = take((images, conditions), indices[share])
    rng = np.random.default_rng((seed, number))
    if flip:
        which = rng.random(len(indices))[share] < 0.5
        batch = mirror(batch, which)
        if given.context is not None:
            given = given._replace(context=mirror(given.context, which))
    if stochastic_levels is not None:
        batch = binarize(batch, rng.random((len(indices), *images.shape[1:]))[share], stochastic_levels)
    return {"image": batch, "conditions": given, "mask": np.ones(len(batch), bool)}


def eval_batches(
    images: ImageSet,
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int,
    share: slice = slice(None),
    num_threads: int = 1,
) -> Iterable[Batch]:
    """All images once, in order; the last batch is filled up to `batch_size` with copies that its mask excludes.

    Args:
      images: the images of a split.
      conditions: what each of them is given.
      batch_size: images in a batch.
      share: the rows of each batch that are wanted; all, if not given.
      num_threads: that prepare batches ahead.

    Yields:
      `Batch`.
    """
    gather = functools.partial(_gather_in_order, images=images, conditions=conditions, batch_size=batch_size, share=share)
    batches = grain.MapDataset.range(-(-len(images) // batch_size)).map(gather)
    return batches.to_iter_dataset(read_ahead(images, num_threads))


def _gather_in_order(number: int, *, images: ImageSet, conditions: Conditions, batch_size: int, share: slice) -> Batch:
    """The share of a batch of an evaluation."""
    numbers = number * batch_size + np.arange(batch_size)[share]
    batch, given = take((images, conditions), np.minimum(numbers, len(images) - 1))
    return {"image": batch, "conditions": given, "mask": numbers < len(images)}
