"""Multi-Scale PixelRNN (§3.6 of the paper) on CIFAR-10: Row LSTMs, 8x8 pixels first, then 32x32.

python -m experiments.train --config=experiments/cifar_multiscale.py --workdir=runs/cifar_multiscale

The paper gives no score.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with two sizes and a wider context network."""
    config = shipped_config("cifar_rowlstm")
    config.model.update(sizes=(8, 32), context_features=64)
    return config
