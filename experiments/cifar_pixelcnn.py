"""PixelCNN, 15 layers, h = 128, on CIFAR-10 (Table 5 of the paper: 3.14 bits/dim on test, 3.08 on train).

python -m experiments.train --config=experiments/cifar_pixelcnn.py --workdir=runs/cifar_pixelcnn
"""

from ml_collections import ConfigDict

from pixel_rnn_jax.training.config import shipped_config


def get_config() -> ConfigDict:
    """The Row LSTM's, with another layer, deeper."""
    config = shipped_config("cifar_rowlstm")
    config.model.update(layer="pixel_cnn", depth=15)
    return config
