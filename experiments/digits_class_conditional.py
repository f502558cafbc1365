"""Diagonal BiLSTM on scikit-learn's digits (8x8 pixels, 17 levels) that is told which digit it is to be.

python -m experiments.train --config=experiments/digits_class_conditional.py --workdir=runs/digits_class_conditional
"""

from ml_collections import ConfigDict

from pixel_rnn_jax.training.config import shipped_config


def get_config() -> ConfigDict:
    """The unconditional model's, and the classes."""
    config = shipped_config("digits_diagonal_bilstm")
    config.model.num_classes = 10
    return config
