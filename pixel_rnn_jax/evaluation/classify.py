"""Classification by a class-conditional model and Bayes' rule: p(y | x) = p(x | y) p(y) / p(x)."""

from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Integer
from scipy.special import logsumexp

from pixel_rnn_jax.data import ImageSet
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.score import log_probs
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions


class Joint(NamedTuple):
    """How probable each image is together with each class, log p(x, y) = log p(x | y) + log p(y), in nats."""

    log_probs: Float64[np.ndarray, "N classes"]

    @property
    def classes(self) -> Integer[np.ndarray, " N"]:
        """The most probable class of each image, argmax_y log p(x | y) + log p(y)."""
        return self.log_probs.argmax(1)

    @property
    def marginal(self) -> Float64[np.ndarray, " N"]:
        """log p(x), summed over the classes: what a model that is not told the class gives."""
        return logsumexp(self.log_probs, axis=1)


def classify(
    model: nn.Module,
    params: Any,
    images: ImageSet,
    log_prior: Float64[np.ndarray, " classes"],
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int,
    mesh: Mesh,
    num_threads: int = 1,
) -> Joint:
    """Scores images under each class.

    Args:
      model: class-conditional.
      params: its parameters.
      images: integers [N, H, W, C] in [0, levels).
      log_prior: log p(y) of each class, in nats.
      conditions: what else the images are given; their labels are not looked at.
      batch_size: images at a time; a multiple of the mesh's devices.
      mesh: devices over which the batch is sharded.
      num_threads: that decode images ahead, if they are not in memory.

    Raises:
      InputError: if the model is not class-conditional.
    """
    num_classes = model.config.num_classes
    if not num_classes:
        raise InputError("only a class-conditional model classifies; this one has num_classes=0.")
    of_classes = []
    for label in range(num_classes):
        given = conditions._replace(labels=np.full(len(images), label, np.int32))
        of_classes.append(log_probs(model, params, images, given, batch_size=batch_size, mesh=mesh, num_threads=num_threads))
    return Joint(np.stack(of_classes, 1).astype(np.float64) + log_prior)


def log_prior(labels: Integer[np.ndarray, " N"], num_classes: int) -> Float64[np.ndarray, " classes"]:
    """log p(y) from the training labels: their frequencies, with one more of each class."""
    counts = np.bincount(labels, minlength=num_classes) + 1
    return np.log(counts / counts.sum())
