"""PixelCNN, 15 layers, h = 128, on CIFAR-10.

python -m experiments.train --config=experiments/cifar_pixelcnn.py --workdir=runs/cifar_pixelcnn

The paper's Table 5: 3.14 bits/dim on test, 3.08 on train.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with another layer, deeper."""
    config = shipped_config("cifar_rowlstm")
    config.model.update(layer="pixel_cnn", depth=15)
    return config
