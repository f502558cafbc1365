"""Diagonal BiLSTM, 1 layer, h = 32, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_diagonal_bilstm_1layer.py --workdir=runs/mnist_diagonal_bilstm_1layer

The paper's Table 4: 80.75 nats on test. docs/results.md has the score of the trained model that comes with the package.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The 7-layer model's configuration with one wider layer."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.update(depth=1, features=32)
    return config
