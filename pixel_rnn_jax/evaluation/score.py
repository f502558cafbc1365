"""The mean negative log-likelihood of a whole split, exactly; of a model or of anything that gives log-probabilities."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Float32, UInt8

from pixel_rnn_jax.data import Batch, ImageSet, eval_batches
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.likelihood import bits_per_dim, log_prob
from pixel_rnn_jax.parallel.mesh import batch_spec, fetch, on_shares, process_share, replicate, shard_batch
from pixel_rnn_jax.parallel.microbatch import fast_microbatches, split_microbatches
from pixel_rnn_jax.progress import progress_bar


@dataclass(frozen=True)
class Score:
    """How well a model predicts a split.

    Attributes:
      split: name of the split.
      num_images: number of images in it.
      nats: mean negative log-likelihood of an image, in nats.
      bits_per_dim: the same in bits per sub-pixel.
    """

    split: str
    num_images: int
    nats: float
    bits_per_dim: float

    def __str__(self) -> str:
        return f"{self.split} {self.nats:.2f} nats {self.bits_per_dim:.4f} bits/dim"


def make_score(split: str, nats: float, shape: tuple[int, int, int, int]) -> Score:
    """The score of a split of images of a shape [N, H, W, C], from their mean negative log-likelihood in nats."""
    return Score(split, shape[0], nats, bits_per_dim(-nats, shape[1:]))


def evaluate(
    model: nn.Module,
    params: Any,
    split: str,
    images: ImageSet,
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int,
    mesh: Mesh,
    num_threads: int = 1,
) -> Score:
    """Scores every image of a split once, each with the same weight.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      split: name of the split, for the record.
      images: integers [N, H, W, C] in [0, levels).
      conditions: what each of them is given.
      batch_size: images at a time; a multiple of the mesh's devices.
      mesh: devices over which the batch is sharded.
      num_threads: that decode images ahead, if they are not in memory.

    Returns:
      The score.
    """
    sums = _by_batch(_sum_of_nats, model, params, images, conditions, batch_size, mesh, num_threads, f"scoring {split}")
    return make_score(split, sum(map(float, sums)) / len(images), images.shape)


def log_probs(
    model: nn.Module,
    params: Any,
    images: ImageSet,
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int,
    mesh: Mesh,
    num_threads: int = 1,
    function: Callable[..., Float32[Array, "B ..."]] = log_prob,
) -> Float32[np.ndarray, "N ..."]:
    """The log-probability of each image of a set, in nats.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      images: integers [N, H, W, C] in [0, levels).
      conditions: what each of them is given.
      batch_size: images at a time; a multiple of the mesh's devices.
      mesh: devices over which the batch is sharded.
      num_threads: that decode images ahead, if they are not in memory.
      function: `log_prob`, which gives [B] of a batch; or one like it, such as `log_prob_by_size`, which gives [B, sizes].

    Returns:
      What the function gives of all images, [N, ...].
    """
    batch_fn = functools.partial(score_batch, function)
    results = _by_batch(batch_fn, model, params, images, conditions, batch_size, mesh, num_threads, "scoring")
    return np.concatenate(fetch(results))[: len(images)]


def _by_batch(
    function: Callable[[nn.Module, Mesh, Any, Batch], Any],
    model: nn.Module,
    params: Any,
    images: ImageSet,
    conditions: Conditions,
    batch_size: int,
    mesh: Mesh,
    num_threads: int,
    description: str,
) -> list[Any]:
    """The results for all batches; the last ones of the last batch may be of no image."""
    params = replicate(params, mesh)
    results = []
    with progress_bar(len(images), unit="image", description=description, delay=5.0, leave=False) as bar:
        batches = eval_batches(
            images, conditions, batch_size=batch_size, share=process_share(batch_size), num_threads=num_threads
        )
        for batch in batches:
            results.append(function(model, mesh, params, shard_batch(batch, mesh)))
            jax.block_until_ready(results[-2:][0])  # the device has the next batch at hand, but not all of them
            bar.update(min(batch_size, len(images) - bar.n))
    return results


def score(
    log_prob: Callable[[UInt8[np.ndarray, "B H W C"]], Float[np.ndarray, " B"]],
    split: str,
    batches: Iterable[UInt8[np.ndarray, "_ H W C"]],
    image_shape: tuple[int, int, int],
) -> Score:
    """Scores a split by any function that gives log-probabilities on the host.

    Args:
      log_prob: from images to nats, [B, H, W, C] to [B].
      split: name of the split, for the record.
      batches: all its images, in batches.
      image_shape: [H, W, C].
    """
    log_probs = np.concatenate([log_prob(batch) for batch in batches])
    return make_score(split, -float(log_probs.mean()), (len(log_probs), *image_shape))


@functools.partial(jax.jit, static_argnames=("model", "mesh"))
def _sum_of_nats(model: nn.Module, mesh: Mesh, params: Any, batch: Batch) -> Float32[Array, ""]:
    return -jnp.sum(jnp.where(batch["mask"], score_batch(log_prob, model, mesh, params, batch), 0))


@functools.partial(jax.jit, static_argnames=("function", "model", "mesh"))
def score_batch(
    function: Callable[..., Float32[Array, "B ..."]], model: nn.Module, mesh: Mesh, params: Any, batch: Batch
) -> Float32[Array, "B ..."]:
    """`log_prob`, or a function like it, of a batch that is sharded over the devices of a mesh: each scores its share."""

    def part_fn(params, batch):
        return function(model, params, batch["image"], *batch["conditions"])

    def share_fn(params, batch):
        images, height, width, _ = batch["image"].shape
        parts = fast_microbatches(images, (height, width), model.config.features, mesh.devices.flat[0].platform)
        if parts == 1:
            return part_fn(params, batch)
        results = jax.lax.map(functools.partial(part_fn, params), split_microbatches(batch, parts))
        return results.reshape(images, *results.shape[2:])

    batch_fn = on_shares(share_fn, mesh, in_specs=(PartitionSpec(), batch_spec()), out_specs=batch_spec())
    return batch_fn(params, batch)
