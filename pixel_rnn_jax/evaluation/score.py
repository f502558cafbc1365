"""The exact mean negative log-likelihood of a split, under a model or any other function that gives log-probabilities."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float32

from pixel_rnn_jax.data import Batch, Examples, ImageSet, eval_batches
from pixel_rnn_jax.data.image_set import take
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.baselines import Batches, LogProb
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.likelihood import bits_per_dim, log_prob
from pixel_rnn_jax.models.relu_units import log_prob_and_live_units
from pixel_rnn_jax.parallel.hardware import BEYOND_PLAN, free_memory, timed
from pixel_rnn_jax.parallel.mesh import (
    batch_spec,
    busy_devices,
    fetch,
    next_multiple,
    on_shares,
    process_share,
    replicate,
    shard_batch,
)
from pixel_rnn_jax.platforms import in_microbatches
from pixel_rnn_jax.progress import progress_bar


@dataclass(frozen=True)
class LiveUnits:
    """How many ReLU units of a layer, or of all layers of one kind, are above zero somewhere in a split."""

    live: int
    total: int  # live or not


@dataclass(frozen=True)
class Score:
    """How well a model predicts a split."""

    split: str
    num_images: int
    nats: float  # mean negative log-likelihood of an image
    bits_per_dim: float  # the same in bits per sub-pixel
    relu_units: Mapping[str, LiveUnits] = field(default_factory=dict)  # by layer; empty if not counted
    image_nats: tuple[float, ...] = field(default=(), repr=False)  # of each image; empty if only the mean is known

    @property
    def figures(self) -> dict[str, Any]:
        """All but the scores of single images, as plain values by name."""
        return {name: value for name, value in asdict(self).items() if name != "image_nats"}

    @property
    def dead_share(self) -> float:
        """The share of all counted ReLU units that are zero on the whole split."""
        return 1 - self.live_units / self.total_units if self.total_units else 0.0

    @property
    def live_units(self) -> int:
        """How many of all counted ReLU units are above zero somewhere in the split."""
        return sum(count.live for count in self.relu_units.values())

    @property
    def total_units(self) -> int:
        """How many ReLU units were counted."""
        return sum(count.total for count in self.relu_units.values())

    @property
    def dead_units(self) -> str:
        """How many units of each layer are zero on the whole split, in words."""
        dead = {name: count.total - count.live for name, count in self.relu_units.items()}
        return ", ".join(f"{name} {dead[name]} of {self.relu_units[name].total}" for name in dead if dead[name]) or "none"

    def __str__(self) -> str:
        return f"{self.split} {self.nats:.2f} nats {self.bits_per_dim:.4f} bits/dim"


def make_score(split: str, nats: float, shape: tuple[int, int, int, int], **more: Any) -> Score:
    """The score of a split of images of a shape [N, H, W, C], from their mean negative log-likelihood in nats."""
    return Score(split, shape[0], nats, bits_per_dim(-nats, shape[1:]), **more)


@dataclass(frozen=True)
class Scorer:
    """Scores images with a model, one batch after the other, sharded over the devices of a mesh."""

    model: nn.Module
    params: Any
    mesh: Mesh
    batch_size: int  # a multiple of the mesh's devices
    num_threads: int = 1  # that decode images ahead, if they are not in memory
    check_memory: bool = True  # not where a training step, which takes more, has had enough of it

    def evaluate(self, split: str, images: ImageSet, conditions: Conditions = UNCONDITIONAL) -> Score:
        """Scores every image of a split once, all with the same weight."""
        results = self._map_batches(_nats_and_live, (), images, conditions, f"scoring {split}")
        nats, live = zip(*fetch(results), strict=True)
        nats = np.concatenate(nats)[: len(images)]
        live = jax.tree.map(lambda *units: np.any(units, 0), *live)
        relu_units = {name: LiveUnits(int(units.sum()), units.size) for name, units in live.items()}
        mean = float(nats.mean(dtype=np.float64))
        return make_score(split, mean, images.shape, relu_units=relu_units, image_nats=tuple(nats.tolist()))

    def log_probs(
        self, images: ImageSet, conditions: Conditions = UNCONDITIONAL, *, function: Callable[..., Array] = log_prob
    ) -> Float32[np.ndarray, "N ..."]:
        """The log-probability of each image, in nats, by `log_prob` or a function like it, such as `log_prob_by_size`."""
        results = self._map_batches(score_batch, (function,), images, conditions, "scoring")
        return np.concatenate(fetch(results))[: len(images)]

    def seconds(self, images: ImageSet, conditions: Conditions = UNCONDITIONAL, *, rows: int) -> float:
        """Estimates the seconds to score images, once compiled, from the first rows of one batch of them."""
        count, scale = min(self.batch_size, len(images)), self.model.config.context_scale
        tops, given = take(Examples(images, conditions), np.arange(count))
        if given.context is not None:
            given = given._replace(context=given.context[:, : rows // scale])
        _, seconds = timed(lambda: self.log_probs(tops[:, :rows], given), repeats=1)
        return seconds * len(images) / count * images.shape[1] / rows

    def _map_batches(
        self, function: Callable[..., Any], arguments: tuple, images: ImageSet, conditions: Conditions, description: str
    ) -> list[Any]:
        """The results of a compiled function for all batches. The last batch is as large as the others, by padding.

        Raises:
          InputError: if a batch needs more memory than there is.
        """
        mesh = busy_devices(self.mesh, len(images))
        batch_size = min(self.batch_size, next_multiple(len(images), mesh.size))
        arguments, results = (*arguments, self.model, mesh, replicate(self.params, mesh)), []
        options = {"batch_size": batch_size, "share": process_share(batch_size), "num_threads": self.num_threads}
        batches = eval_batches(Examples(images, conditions), **options)
        with progress_bar(len(images), unit="image", description=description, delay=5.0, leave=False) as bar:
            for batch in batches:
                batch = shard_batch(batch, mesh)
                if not results and self.check_memory:
                    _check_memory(function.lower(*arguments, batch), batch["image"].shape, len(mesh.local_devices))
                results.append(function(*arguments, batch))
                jax.block_until_ready(results[-2:][0])  # the device holds the next batch, but not all of them
                bar.update(min(batch_size, len(images) - bar.n))
        return results


def lower_scoring(model: nn.Module, mesh: Mesh, params: Any, batch: Batch) -> jax.stages.Lowered:
    """Traces the program that scores a batch in `Scorer.evaluate`.

    Parameters and batch are abstract arrays with shardings on the mesh, whose devices may be only described.
    """
    return _nats_and_live.lower(model, mesh, params, batch)


def _check_memory(lowered: jax.stages.Lowered, shape: tuple[int, int, int, int], devices: int) -> None:
    """Raises `InputError` if a batch of this shape needs more memory than there is; on a CPU, XLA would not notice."""
    free = free_memory(devices)
    if free == math.inf:
        return
    planned = lowered.compile().memory_analysis().temp_size_in_bytes  # JAX keeps the compiled program for the call
    needed = BEYOND_PLAN * planned
    if needed > free:
        num, height, width, _ = shape
        raise InputError(
            f"scoring {num} images of {height}x{width} pixels at a time must need at most the {free * devices / 2**30:.1f} GiB"
            f" of memory that are free; it may need {needed * devices / 2**30:.1f}. Smaller images or batches need less."
        )


def score(log_prob: LogProb, split: str, batches: Batches, image_shape: tuple[int, int, int]) -> Score:
    """Scores a split, in batches, by any function that gives log-probabilities on the host."""
    log_probs = np.concatenate([log_prob(batch) for batch in batches])
    return make_score(split, -float(log_probs.mean()), (len(log_probs), *image_shape))


@functools.partial(jax.jit, static_argnames=("model", "mesh"))
def _nats_and_live(
    model: nn.Module, mesh: Mesh, params: Any, batch: Batch
) -> tuple[Float32[Array, " B"], dict[str, Bool[Array, "..."]]]:
    """The nats of each image of a batch, and which ReLU units are above zero for one of them."""
    log_probs, live = score_batch(log_prob_and_live_units, model, mesh, params, batch)
    return -log_probs, {name: jnp.any(units, 0) for name, units in live.items()}  # padding copies images, and so wakes no unit


@functools.partial(jax.jit, static_argnames=("function", "model", "mesh"))
def score_batch(function: Callable[..., Any], model: nn.Module, mesh: Mesh, params: Any, batch: Batch) -> Any:
    """`log_prob`, or a function like it, of a batch that is sharded over the devices of a mesh: each scores its share."""

    def share_fn(params, batch):
        def microbatch_fn(batch):
            return function(model, params, batch["image"], *batch["conditions"])

        return in_microbatches(microbatch_fn, batch, batch["image"].shape[1:3], model.config.features)

    batch_fn = on_shares(share_fn, mesh, in_specs=(PartitionSpec(), batch_spec()), out_specs=batch_spec())
    return batch_fn(params, batch)
