"""PixelCNN on binarized MNIST (Table 4 of the paper: 81.30 nats on the test split).

The paper does not give this model's size; these are its 15 layers for CIFAR-10, with the Diagonal BiLSTM's h = 16.

python -m experiments.train --config=experiments/mnist_pixelcnn.py --workdir=runs/mnist_pixelcnn
"""

from ml_collections import ConfigDict

from pixel_rnn_jax.training.config import shipped_config


def get_config() -> ConfigDict:
    """The Row LSTM's, with another layer, deeper."""
    config = shipped_config("mnist_rowlstm")
    config.model.update(layer="pixel_cnn", depth=15)
    return config
