"""The check of a layer: it depends on what comes before, decodes what it computes at once, and gives probabilities."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32

from pixel_rnn_jax.generation.decoding import decode_row, start
from pixel_rnn_jax.images import value_type
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.image_model import ImageModel
from pixel_rnn_jax.models.likelihood import log_prob
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.models.params import abstract_params

IMAGES = 20  # of which each value is changed, so that what depends on it shows, though some ReLUs are zero


def check_layer(
    name: str, *, depth: int = 2, size: tuple[int, int] = (4, 5), tolerance: float = 1e-4
) -> Bool[np.ndarray, "..."]:
    """Checks a layer in tiny networks of random parameters: without residuals, grey; with them, in colour and conditional.

    No sub-pixel may depend on itself or a later one, and each but the first must depend on some. Pixel by pixel, `decode_step`
    must give what the layer gives for whole maps. The probabilities of all images of a tiny size must add up to 1.

    Args:
      name: of a registered layer.
      depth: number of layers in the networks.
      size: height and width of the images.
      tolerance: of numbers that must be equal, absolute.

    Returns:
      Which sub-pixels (the last three axes, [H, W, C]) each sub-pixel (the first three) depends on, in colour.

    Raises:
      AssertionError: if a check fails, with the place.
      InputError: (a ValueError) if no layer of this name is registered.
    """
    # Without residual connections, nothing passes by a layer that computes nothing.
    for fields in ({"channels": 1, "residual": False}, {"channels": 3, "num_classes": 2, "context_channels": 1}):
        model = make_model(ModelConfig(layer=name, levels=4, depth=depth, features=6, head_features=24, **fields))
        params = random_params(model)
        field = receptive_field(model, params, size)
        _check_order(field.reshape(np.prod(field.shape[:3]), -1))
        _check_decoding(model, params, size, tolerance)
    _check_probabilities(name, depth, tolerance)
    return field


def random_params(model: ImageModel) -> Any:
    """Parameters of which none is zero, not even biases, so that nothing hides."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), abstract_params(model))


def receptive_field(model: ImageModel, params: Any, size: tuple[int, int]) -> Bool[np.ndarray, "H W C H W C"]:
    """Which sub-pixels (the last three axes) the distribution of each sub-pixel (the first three) depends on."""
    shape = (*size, model.config.channels)
    images, conditions = _random_images(model, IMAGES, size)
    numbers = _numbers_of(model, params, conditions)
    original = numbers(images)
    field = np.zeros((np.prod(shape), *shape), bool)
    for place in np.ndindex(shape):
        changed = images.copy()
        changed[:, *place] = (changed[:, *place] + 1) % model.config.levels
        field[:, *place] = np.any(numbers(changed) != original, (0, 4)).reshape(-1)
    return field.reshape(*shape, *shape)


def _check_order(field: Bool[np.ndarray, "places places"]) -> None:
    for place, before in itertools.product(range(len(field)), repeat=2):
        _require(before < place or not field[place, before], f"sub-pixel {place} depends on {before}, itself or a later one")
    for place in range(1, len(field)):
        _require(field[place].any(), f"sub-pixel {place} depends on no other")


def _check_decoding(model: ImageModel, params: Any, size: tuple[int, int], tolerance: float) -> None:
    images, conditions = _random_images(model, 3, size)
    expected = _numbers_of(model, params, conditions)(images)
    decoded = np.asarray(_decoded(model, params, images, conditions))
    error = np.abs(decoded - expected).max((0, 4))
    place = np.unravel_index(np.argmax(error), error.shape)
    message = f"decode_step differs from the whole map by {error.max():.2g} at (row, column, colour) {place}"
    _require(error.max() <= tolerance, message)


def _check_probabilities(name: str, depth: int, tolerance: float) -> None:
    model = make_model(ModelConfig(layer=name, levels=2, channels=2, depth=depth, features=6, head_features=8))
    every = np.array(list(itertools.product(range(2), repeat=8)), np.uint8).reshape(-1, 2, 2, 2)
    total = np.exp(np.float64(log_prob(model, random_params(model), every))).sum()
    _require(abs(total - 1) <= tolerance, f"the probabilities of all images add up to {total:.6f}, not to 1")


def _require(condition: bool | np.bool_, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(message)


def _random_images(model: ImageModel, num: int, size: tuple[int, int]) -> tuple[np.ndarray, Conditions]:
    config, rng = model.config, np.random.default_rng(1)
    images = rng.integers(0, config.levels, (num, *size, config.channels)).astype(value_type(config.levels))
    labels = rng.integers(0, config.num_classes, num) if config.num_classes else None
    context = rng.integers(0, 256, (num, *size, 1)).astype(np.uint8) if config.context_channels else None
    return images, Conditions(context, labels)


def _numbers_of(model: ImageModel, params: Any, conditions: Conditions):
    apply = jax.jit(functools.partial(model.apply, {"params": params}, **conditions._asdict(), method="numbers"))
    return lambda images: np.asarray(apply(images))


@functools.partial(jax.jit, static_argnames="model")
def _decoded(model: ImageModel, params: Any, images: Any, conditions: Conditions) -> Float32[Array, "B H W C size"]:
    """The numbers of all sub-pixels, each computed before its value is written."""

    def step(state, row):
        return decode_row(model, params, state, row, lambda numbers, *place: (images[:, row, *place], numbers))

    _, numbers = jax.lax.scan(step, start(model, params, images.shape[:3], conditions), jnp.arange(images.shape[1]))
    return jnp.moveaxis(numbers, 2, 0).reshape(*images.shape, -1)
