"""Row LSTM, 7 layers, h = 16, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_rowlstm.py --workdir=runs/mnist_rowlstm

The paper's Table 4: 80.54 nats on test. docs/results.md has the score of the trained model that comes with the package.
The paper does not give this model's size; these are the Diagonal BiLSTM's layers and h.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with another layer."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.update(layer="row_lstm")
    return config
