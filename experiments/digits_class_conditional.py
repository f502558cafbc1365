"""Diagonal BiLSTM on scikit-learn's digits (8x8 pixels, 17 levels) that is told which digit it is to be.

python -m experiments.train --config=experiments/digits_class_conditional.py --workdir=runs/digits_class_conditional
"""

from ml_collections import ConfigDict

from experiments import digits_diagonal_bilstm


def get_config() -> ConfigDict:
    """The unconditional model's, and the classes."""
    config = digits_diagonal_bilstm.get_config()
    config.model.num_classes = 10
    return config
