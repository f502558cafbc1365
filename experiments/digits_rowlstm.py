"""Row LSTM on scikit-learn's digits (8x8 pixels, 17 levels).

python -m experiments.train --config=experiments/digits_rowlstm.py --workdir=runs/digits_rowlstm
"""

from ml_collections import ConfigDict

from experiments import digits_diagonal_bilstm


def get_config() -> ConfigDict:
    """The Diagonal BiLSTM's, with another layer."""
    config = digits_diagonal_bilstm.get_config()
    config.model.update(layer="row_lstm", depth=4)
    return config
