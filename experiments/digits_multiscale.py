"""Multi-Scale PixelRNN (§3.6 of the paper) on scikit-learn's digits: 4x4 pixels first, then 8x8.

python -m experiments.train --config=experiments/digits_multiscale.py --workdir=runs/digits_multiscale

About 1.76 bits/dim on test.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with two sizes."""
    config = shipped_config("digits_diagonal_bilstm")
    config.model.sizes = (4, 8)
    return config
