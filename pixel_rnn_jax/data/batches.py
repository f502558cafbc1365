"""Grain pipelines of batches, for training and for evaluation."""

import functools
from collections.abc import Iterable
from typing import TypedDict

import grain
import jax
import numpy as np
from absl import flags
from jaxtyping import Bool, Integer, UInt8

from pixel_rnn_jax.conditions import UNCONDITIONAL, Conditions
from pixel_rnn_jax.data.image_set import ImageSet, LazyImages, in_order, read_ahead, take
from pixel_rnn_jax.data.treatment import binarize, mirror


class Batch(TypedDict):
    """What the pipelines yield.

    Attributes:
      image: uint8 [B, H, W, C] in [0, levels).
      conditions: what each image is given.
      mask: bool [B], False for the images that only fill up the last batch of an evaluation.
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
    process: int = 0,
    num_processes: int = 1,
    stochastic_levels: int | None = None,
    flip: bool = False,
    num_threads: int = 1,
    num_workers: int = 0,
) -> grain.DatasetIterator:
    """An endless iterator of training batches; each epoch is shuffled anew.

    The batch of all processes together depends on `seed` and its number alone, and each process gets its slice of it. So the
    position of a training is the number of batches it has seen, whatever the number of processes.

    Args:
      images: the training images.
      conditions: what each of them is given: sets as long as that of the images.
      batch_size: images in a batch, of all processes together.
      seed: of the order of images and of the random part of their treatment.
      first_batch: number of the batch to begin with.
      process: this process's number.
      num_processes: how many share the batch; a divisor of `batch_size`.
      stochastic_levels: the images' levels, if they are to be binarized stochastically.
      flip: mirror half of the images.
      num_threads: that decode batches ahead, where images are not in memory.
      num_workers: processes that do so instead; 0: none.

    Returns:
      A Grain iterator of `Batch`, of `batch_size / num_processes` images each.
    """
    gather = functools.partial(
        _gather,
        images=images,
        conditions=conditions,
        seed=seed,
        local=slice(process * batch_size // num_processes, (process + 1) * batch_size // num_processes),
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
    local: slice,
    stochastic_levels: int | None,
    flip: bool,
) -> Batch:
    """The share of a batch that is this process's. Random numbers are drawn for the whole batch, whatever the share."""
    batch, given = take((images, conditions), indices[local])
    rng = np.random.default_rng((seed, number))
    if flip:
        which = rng.random(len(indices))[local] < 0.5
        batch = mirror(batch, which)
        if given.context is not None:
            given = given._replace(context=mirror(given.context, which))
    if stochastic_levels is not None:
        batch = binarize(batch, rng.random((len(indices), *images.shape[1:]))[local], stochastic_levels)
    return {"image": batch, "conditions": given, "mask": np.ones(len(batch), bool)}


def eval_batches(
    images: ImageSet, conditions: Conditions = UNCONDITIONAL, *, batch_size: int, num_threads: int = 1
) -> Iterable[Batch]:
    """All images once, in order; the last batch is filled up to `batch_size` with blank images that its mask excludes.

    Args:
      images: the images of a split.
      conditions: what each of them is given.
      batch_size: images in a batch.
      num_threads: that prepare batches ahead.

    Yields:
      `Batch`.
    """
    for batch in in_order((images, conditions), batch_size=batch_size, num_threads=num_threads):
        count = len(batch[0])
        image, given = jax.tree.map(
            lambda array, count=count: np.pad(array, [(0, batch_size - count)] + [(0, 0)] * (array.ndim - 1)), batch
        )
        yield {"image": image, "conditions": given, "mask": np.arange(batch_size) < count}
