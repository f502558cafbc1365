"""Scikit-learn's handwritten digits, which come with that package."""

import numpy as np

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.source import Source
from pixel_rnn_jax.errors import InputError


def read_digits(argument: str, config: DataConfig, channels: int) -> Source:
    """1,797 digits of 8x8 pixels and 17 levels; 1,437 for training, 180 each for validation and test."""
    from sklearn.datasets import load_digits  # imported here, since it takes a second

    if argument:
        raise InputError(f"data.source 'digits' takes no argument; got 'digits:{argument}'.")
    images = load_digits().images.astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    train, validation, test = np.split(images[order], (1437, 1617))
    return Source({"train": train, "validation": validation, "test": test}, levels=17)
