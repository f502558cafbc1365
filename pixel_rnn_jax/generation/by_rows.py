"""Images shown while they are drawn: the results of `sample` and `complete`, row by row."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float32, Shaped, UInt

from pixel_rnn_jax.generation.batched import draw_rows
from pixel_rnn_jax.generation.sampling import check_completion, completion_key, draw_uniform, nothing_known
from pixel_rnn_jax.images import Images, value_type
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.multi_scale import stages
from pixel_rnn_jax.parallel.mesh import make_mesh, replicate


class Progress(NamedTuple):
    """Images after one more row.

    Attributes:
      images: in [0, levels); zero where nothing is known yet.
      known: the pixels that are given or drawn so far.
      log_probs: log p(x_i | x_<i) of the sub-pixels up to here, at temperature 1, in nats; zero after them.
    """

    images: UInt[np.ndarray, "B H W C"]
    known: Bool[np.ndarray, "B H W"]
    log_probs: Float32[np.ndarray, "B H W C"]


def sample_by_rows(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    num: int,
    size: Sequence[int] | Any,
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> Iterator[Progress]:
    """Draws what `sample` draws, one row at a time, to be shown meanwhile.

    One program is compiled for all rows of a size. Runs on the host, on one device.

    Args: those of `sample`.

    Yields:
      After each row, all images as they are then, as `Progress`; of a Multi-Scale PixelRNN, after each row of each size.

    Raises:
      InputError: as `sample` does, at once.
    """
    images, known = nothing_known(model.config, num, size)
    conditions = Conditions(context, labels)
    known = check_completion(model, params, key, images, known, temperature, conditions)
    return _progress(model, params, key, images, known, temperature, conditions)


def complete_by_rows(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    images: Images,
    known: Shaped[jax.Array | np.ndarray, "..."],
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> Iterator[Progress]:
    """Draws what `complete` draws, one row at a time, to be shown meanwhile; otherwise like `sample_by_rows`."""
    conditions = Conditions(context, labels)
    known = check_completion(model, params, key, images, known, temperature, conditions)
    images = np.where(known[..., None], images, 0).astype(value_type(model.config.levels))
    return _progress(model, params, completion_key(key), images, known, temperature, conditions)


def _progress(model, params, key, images, known, temperature, conditions) -> Iterator[Progress]:
    mesh = make_mesh(devices=jax.local_devices()[:1])
    params, key = replicate((params, key), mesh)
    uniform = draw_uniform(key, jnp.arange(len(images)), images.shape[1:])
    known, log_probs = np.array(known), np.zeros(images.shape, np.float32)
    for stage in stages(model.config):
        rows = draw_rows(stage, params, (images, known, uniform, conditions), temperature, mesh)
        new = stage.drawn(*images[:, :: stage.stride, :: stage.stride].shape[1:3])
        for row, drawn in enumerate(rows):
            values, nats = (np.moveaxis(np.asarray(array), -1, 0) for array in drawn)
            images, known, log_probs = images.copy(), known.copy(), log_probs.copy()  # those shown before stay as they are
            place = slice(None), row * stage.stride, slice(None, None, stage.stride)
            images[place], known[place] = values, True
            log_probs[place] = np.where(new[row][:, None], nats, log_probs[place])
            yield Progress(images, known, log_probs)
