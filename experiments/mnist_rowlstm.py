"""Row LSTM, 7 layers, h = 32, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_rowlstm.py --workdir=runs/mnist_rowlstm

The paper's Table 4: 80.54 nats on test. docs/results.md has the score of the trained model that comes with the package.
The paper does not give this model's size; these are the 7 layers of its larger Diagonal BiLSTM,
and the h of its one-layer one.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with another layer, twice as wide."""
    config = shipped_config("mnist_diagonal_bilstm")
    config.model.update(layer="row_lstm", features=32, head_features=64)
    return config
