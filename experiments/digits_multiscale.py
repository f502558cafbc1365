"""Multi-Scale PixelRNN (§3.6 of the paper) on scikit-learn's digits: 4x4 pixels first, then 8x8.

python -m experiments.train --config=experiments/digits_multiscale.py --workdir=runs/digits_multiscale
"""

from ml_collections import ConfigDict

from experiments import digits_diagonal_bilstm


def get_config() -> ConfigDict:
    """The Diagonal BiLSTM's of one size, and the sizes."""
    config = digits_diagonal_bilstm.get_config()
    config.model.sizes = (4, 8)
    return config
