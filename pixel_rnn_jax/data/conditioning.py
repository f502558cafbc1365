"""Conditioning of the images of a data set: class labels and context images in grey."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt

from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in ITU-R BT.601


def grey(images: UInt[np.ndarray, "B H W 3"]) -> UInt[np.ndarray, "B H W 1"]:
    """The brightness of each pixel."""
    return np.round(images @ LUMA).astype(images.dtype)[..., None]


def check_grey(model: ModelConfig) -> None:
    """Raises `InputError` unless the model takes images in grey as context images."""
    fields = {"context_channels": 1, "channels": 3, "context_levels": model.levels, "context_scale": 1}
    for name, expected in fields.items():
        if getattr(model, name) != expected:
            raise InputError(f"model.{name} must be {expected} with data.context 'grey'; got {getattr(model, name)}.")


def renumbered(source: Source, classes: Sequence[str], name: str) -> Source:
    """The source, called `name`, with its labels numbered by the names of a model's classes, if it names its own."""
    if source.classes is None:
        return dataclasses.replace(source, classes=tuple(classes))
    unknown = [given for given in source.classes if given not in classes]
    if unknown:
        raise InputError(f"{name}: the classes must be among the model's, {', '.join(classes)}; got {', '.join(unknown)}.")
    table = np.array([classes.index(given) for given in source.classes])
    labels = {split: table[numbers] for split, numbers in source.labels.items()}
    return dataclasses.replace(source, labels=labels, classes=tuple(classes))
