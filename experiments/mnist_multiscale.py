"""Multi-Scale PixelRNN (§3.6 of the paper) on binarized MNIST: Diagonal BiLSTMs, 7x7 pixels first, then 28x28.

python -m experiments.train --config=experiments/mnist_multiscale.py --workdir=runs/mnist_multiscale

The paper gives no score.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with two sizes."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.sizes = (7, 28)
    return config
