"""Grain pipelines of batches, for training and for evaluation."""

import functools
from collections.abc import Iterable
from typing import TypedDict

import grain
import numpy as np
from absl import flags
from jaxtyping import Integer, UInt

from pixel_rnn_jax.data.image_set import Examples, LazyImages, read_ahead, take
from pixel_rnn_jax.data.preprocessing import RandomPreprocessing
from pixel_rnn_jax.models.conditioning import Conditions


class Batch(TypedDict):
    """Images in [0, levels), and their conditioning."""

    image: UInt[np.ndarray, "B H W C"]
    conditions: Conditions


def train_batches(
    examples: Examples,
    preprocessing: RandomPreprocessing | None = None,
    *,
    batch_size: int,
    seed: int,
    first_batch: int = 0,
    share: slice = slice(None),
    num_threads: int = 1,
    num_workers: int = 0,
) -> grain.DatasetIterator:
    """An endless iterator of training batches; each epoch is shuffled anew.

    A batch depends on `seed` and its number alone, and each process gets its `share` of the `batch_size` rows. So the position
    of a training is the number of batches it has seen, whatever the number of processes. Images that are not in memory are
    decoded ahead by `num_threads` threads, or by `num_workers` processes if there are any.
    """
    images, preprocessing = examples.images, preprocessing or RandomPreprocessing()
    gather = functools.partial(_gather, examples=examples, preprocessing=preprocessing, seed=seed, share=share)
    # Indices travel through the pipeline, and a batch of images is gathered at once: five times faster than one by one.
    order = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat().batch(batch_size)
    batches = order.map_with_index(gather).slice(slice(first_batch, None))
    if num_workers and isinstance(images, LazyImages):
        if not flags.FLAGS.is_parsed():  # Grain reads absl flags for its workers, and we parse ours without absl
            flags.FLAGS.mark_as_parsed()
        options = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
        return iter(batches.to_iter_dataset(read_ahead(images, 1)).mp_prefetch(options))
    return iter(batches.to_iter_dataset(read_ahead(images, num_threads)))


def _gather(
    number: int,
    indices: Integer[np.ndarray, " B"],
    *,
    examples: Examples,
    preprocessing: RandomPreprocessing,
    seed: int,
    share: slice,
) -> Batch:
    rng = np.random.default_rng((seed, number))
    images, conditions = preprocessing.apply(take(examples, indices[share]), rng, batch_size=len(indices), share=share)
    return {"image": images, "conditions": conditions}


def eval_batches(examples: Examples, *, batch_size: int, share: slice = slice(None), num_threads: int = 1) -> Iterable[Batch]:
    """All images once, in order; the last batch is filled up to `batch_size` with copies of the last one.

    Arguments are as for `train_batches`.
    """
    count = len(examples.images)

    def gather(number: int) -> Batch:
        numbers = number * batch_size + np.arange(batch_size)[share]
        images, conditions = take(examples, np.minimum(numbers, count - 1))
        return {"image": images, "conditions": conditions}

    batches = grain.MapDataset.range(-(-count // batch_size)).map(gather)
    return batches.to_iter_dataset(read_ahead(examples.images, num_threads))
