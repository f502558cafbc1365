"""Class-conditional Diagonal BiLSTM on scikit-learn's digits (8x8 pixels, 17 levels).

python -m experiments.train --config=experiments/digits_class_conditional.py --workdir=runs/digits_class_conditional

About 1.64 bits/dim on test, given the true class.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The unconditional model's configuration with ten classes."""
    config = shipped_config("digits_diagonal_bilstm")
    config.model.num_classes = 10
    return config
