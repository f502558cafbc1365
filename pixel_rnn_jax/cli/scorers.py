"""The scorer of a command's images."""

import math
from typing import Any

import flax.linen as nn

from pixel_rnn_jax.data import ImageSet
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.parallel.mesh import make_mesh, scoring_batch_size
from pixel_rnn_jax.storage.run_record import RunRecord


def make_scorer(model: nn.Module, params: Any, run: RunRecord, images: ImageSet, batch_size: int | None) -> Scorer:
    """A scorer on all devices, of fewer images at a time where they are larger than those of the training."""
    mesh, area = make_mesh(), relative_area(run, images)
    return Scorer(model, params, mesh, scoring_batch_size(batch_size, run.batch_size, mesh, area=area), run.data.num_threads)


def relative_area(run: RunRecord, images: ImageSet) -> float:
    """The area of an image, in images of the training."""
    return math.prod(images.shape[1:3]) / math.prod(run.image_shape[:2])
