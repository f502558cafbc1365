"""What the images of a split are given, for conditional models: classes, or other images."""

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import ImageSet, LazyImages
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images
from pixel_rnn_jax.models.conditioning import context_shape
from pixel_rnn_jax.models.config import ModelConfig

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue, after ITU-R BT.601


def grey(images: UInt8[np.ndarray, "B H W 3"]) -> UInt8[np.ndarray, "B H W 1"]:
    """How bright each pixel is."""
    return np.round(images @ LUMA).astype(np.uint8)[..., None]


def grey_set(images: ImageSet) -> UInt8[np.ndarray, "N H W 1"] | LazyImages:
    """A set in grey."""
    return images.map(grey, channels=1) if isinstance(images, LazyImages) else grey(images)


def check_labels(labels: Integer[np.ndarray, " N"], name: str, *, num_images: int, num_classes: int) -> None:
    """Raises `InputError` unless there is a class in [0, num_classes) for each image of a split of this name."""
    if len(labels) != num_images:
        raise InputError(f"{name} must have a label for each of {num_images} images; got {len(labels)}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(
            f"{name}: labels must lie in [0, {num_classes}), by model.num_classes; got values from {labels.min()} to"
            f" {labels.max()}."
        )


def check_paired(contexts: ImageSet, name: str, *, shape: tuple[int, ...], model: ModelConfig) -> None:
    """Raises `InputError` unless there is an image that fits the model's context for each image of a split.

    Args:
      contexts: the images that are given.
      name: of the split.
      shape: of the images that are to be drawn, [N, H, W, C].
      model: with `context_channels`, `context_levels` and `context_scale`.
    """
    expected = context_shape(model, shape[:3])
    if contexts.shape != expected:
        raise InputError(f"{name}: the context must have shape {expected}, by model.context_*; got {contexts.shape}.")
    try:
        check_images(contexts, levels=model.context_levels, channels=model.context_channels)
    except InputError as error:
        raise InputError(f"{name}: the context: {error} See model.context_levels.") from None


def check_grey(config: DataConfig, model: ModelConfig) -> None:
    """Raises `InputError` unless the model can be given its images in grey."""
    fields = {
        "model.channels": (model.channels, 3),
        "model.context_channels": (model.context_channels, 1),
        "model.context_levels": (model.context_levels, model.levels),
        "model.context_scale": (model.context_scale, 1),
        "data.binarization": (config.binarization, "none"),
    }
    for name, (value, expected) in fields.items():
        if value != expected:
            raise InputError(f"{name} must be {expected} with data.context 'grey'; got {value}.")
