"""Multi-Scale PixelRNN (§3.6 of the paper) on binarized MNIST: Diagonal BiLSTMs, 7x7 pixels first, then 28x28.

python -m experiments.train --config=experiments/mnist_multiscale.py --workdir=runs/mnist_multiscale
"""

from ml_collections import ConfigDict

from experiments import mnist_diagonal_bilstm


def get_config() -> ConfigDict:
    """The Diagonal BiLSTM's of one size, and the sizes."""
    config = mnist_diagonal_bilstm.get_config()
    config.model.sizes = (7, 28)
    return config
