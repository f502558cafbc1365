"""Scikit-learn's handwritten digits, which come with that package."""

import numpy as np

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig


def read_digits(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """1,797 digits of 8x8 pixels, 17 levels and 10 classes: 1,437 for training, 180 each for validation and test."""
    from sklearn.datasets import load_digits  # imported here, since it takes a second

    if argument:
        raise InputError(f"data.source 'digits' takes no argument; got 'digits:{argument}'.")
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images, labels = (
        dict(zip(SPLITS, np.split(array[order], (1437, 1617)), strict=True))
        for array in (digits.images.astype(np.uint8)[..., None], digits.target)
    )
    return Source(images, levels=17, labels=labels)
