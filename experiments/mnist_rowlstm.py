"""Row LSTM on binarized MNIST (Table 4 of the paper: 80.54 nats on the test split).

The paper does not give this model's size; these are the Diagonal BiLSTM's 7 layers of h = 16.

python -m experiments.train --config=experiments/mnist_rowlstm.py --workdir=runs/mnist_rowlstm
"""

from ml_collections import ConfigDict

from pixel_rnn_jax.training.config import shipped_config


def get_config() -> ConfigDict:
    """The Diagonal BiLSTM's, with another layer."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.update(layer="row_lstm")
    return config
