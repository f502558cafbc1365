"""Conditioning of the images of a split: class labels and context images."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images
from pixel_rnn_jax.models.conditioning import context_shape
from pixel_rnn_jax.models.config import ModelConfig

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in ITU-R BT.601


def grey(images: UInt8[np.ndarray, "B H W 3"]) -> UInt8[np.ndarray, "B H W 1"]:
    """The brightness of each pixel."""
    return np.round(images @ LUMA).astype(np.uint8)[..., None]


def read_labels(
    source: Source, config: DataConfig, model: ModelConfig, classes: Sequence[str] | None
) -> tuple[dict[str, Int32[np.ndarray, " _"]], tuple[str, ...] | None]:
    """The labels by split of a class-conditional model's images, and the names of the classes, if they have names.

    If the model's `classes` have names, labels are renumbered by name. Otherwise the source's names are returned.
    """
    if not model.num_classes:
        return {}, None if classes is None else tuple(classes)
    if source.read_labels is None:
        raise InputError(f"{config.source} has no labels; a class-conditional model (num_classes > 0) needs them.")
    labels = source.read_labels()
    for split, numbers in labels.numbers.items():
        name, num_images = f"{config.source}: {split}", len(source.images[split])
        if len(numbers) != num_images:
            raise InputError(f"{name} must have a label for each of {num_images} images; got {len(numbers)}.")
        low, high = numbers.min(), numbers.max()
        if low < 0 or high >= model.num_classes:
            raise InputError(
                f"{name}: labels must lie in [0, {model.num_classes}), by model.num_classes; got values from {low} to {high}."
            )
    renumber = np.arange(model.num_classes, dtype=np.int32)
    if classes is not None and labels.names is not None:
        unknown = [name for name in labels.names if name not in classes]
        if unknown:
            raise InputError(
                f"{config.source}: the classes must be among the model's, {', '.join(classes)}; got {', '.join(unknown)}."
            )
        renumber = np.array([classes.index(name) for name in labels.names], np.int32)
    numbers = {split: renumber[numbers] for split, numbers in labels.numbers.items()}
    return numbers, labels.names if classes is None else tuple(classes)


def read_contexts(source: Source, config: DataConfig, model: ModelConfig) -> dict[str, UInt8[np.ndarray, "_ h w c"]]:
    """The context images by split that a source stores, if the model takes any; none if they are made in grey later."""
    if config.context == "grey":
        _check_grey(config, model)
        return {}
    if not model.context_channels:
        return {}
    if config.size is not None:
        raise InputError(f"data.size must be None with paired context images; got {config.size}.")
    missing = [f"{split}_context" for split in source.images if split not in source.contexts]
    if missing:
        raise InputError(
            "context images of a model with context_channels must be arrays of the npz file that holds the images, or be made"
            f" from the images by data.context 'grey'; {config.source} has no {', '.join(missing)}."
        )
    for split, images in source.images.items():
        name, context = f"{config.source}: {split}", source.contexts[split]
        expected = context_shape(model, images.shape[:3])
        if context.shape != expected:
            raise InputError(f"{name}: the context must have shape {expected}, by model.context_*; got {context.shape}.")
        try:
            check_images(context, levels=model.context_levels, channels=model.context_channels)
        except InputError as error:
            raise InputError(f"{name}: the context: {error} See model.context_levels.") from None
    return {split: source.contexts[split].astype(np.uint8) for split in source.images}


def _check_grey(config: DataConfig, model: ModelConfig) -> None:
    fields = {
        "model.context_channels": (model.context_channels, 1),
        "model.channels": (model.channels, 3),
        "model.context_levels": (model.context_levels, model.levels),
        "model.context_scale": (model.context_scale, 1),
        "data.binarization": (config.binarization, "none"),
    }
    for name, (value, expected) in fields.items():
        if value != expected:
            raise InputError(f"{name} must be {expected} with data.context 'grey'; got {value}.")
