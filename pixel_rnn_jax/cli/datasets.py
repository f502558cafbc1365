"""The data that a trained model was trained on."""

import dataclasses
from collections.abc import Sequence

from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig


def open_dataset(
    data: DataConfig,
    model: ModelConfig,
    data_dir: str | None = None,
    classes: Sequence[str] | None = None,
    *,
    carve: bool = True,
) -> Dataset:
    """The data of a training; data_dir: where it is now, if it has moved; classes, carve: see `Dataset`."""
    if not data.source:
        raise InputError(
            "the model was saved without a data source: name images with --input, to `score`, `complete` or `compress`."
        )
    if data_dir is not None:
        data = dataclasses.replace(data, data_dir=data_dir)
    return Dataset(data, model, classes, carve=carve)
