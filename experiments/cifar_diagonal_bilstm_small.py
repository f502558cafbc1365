"""Small Diagonal BiLSTM for a CPU, 4 layers, h = 32, on CIFAR-10.

python -m experiments.train --config=experiments/cifar_diagonal_bilstm_small.py --workdir=runs/cifar_diagonal_bilstm_small

The trained `cifar_diagonal_bilstm_small` that comes with the package has 3.368 bits/dim on test (docs/results.md).
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The small Row LSTM's configuration with another layer."""
    config = shipped_config("cifar_rowlstm_small")
    config.model.update(layer="diagonal_bilstm")
    return config
