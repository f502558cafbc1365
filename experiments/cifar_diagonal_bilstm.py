"""Diagonal BiLSTM, 12 layers, h = 128, on CIFAR-10 (Table 5 of the paper: 3.00 bits/dim on test, 2.93 on train).

python -m experiments.train --config=experiments/cifar_diagonal_bilstm.py --workdir=runs/cifar_diagonal_bilstm
"""

from ml_collections import ConfigDict

from experiments import cifar_rowlstm


def get_config() -> ConfigDict:
    """The Row LSTM's, with another layer."""
    config = cifar_rowlstm.get_config()
    config.model.update(layer="diagonal_bilstm")
    return config
