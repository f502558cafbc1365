"""Diagonal BiLSTM, 1 layer, h = 32, on binarized MNIST (Table 4 of the paper: 80.75 nats on the test split).

python -m experiments.train --config=experiments/mnist_diagonal_bilstm_1layer.py --workdir=runs/mnist_diagonal_bilstm_1layer
"""

from ml_collections import ConfigDict

from pixel_rnn_jax.training.config import shipped_config


def get_config() -> ConfigDict:
    """The 7-layer model's, with one wider layer."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.update(depth=1, features=32)
    return config
