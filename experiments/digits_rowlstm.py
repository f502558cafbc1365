"""Row LSTM on scikit-learn's digits (8x8 pixels, 17 levels).

python -m experiments.train --config=experiments/digits_rowlstm.py --workdir=runs/digits_rowlstm

About 1.73 bits/dim on test.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with another layer."""
    config = shipped_config("digits_diagonal_bilstm")
    config.model.update(layer="row_lstm", depth=4)
    return config
