"""PixelCNN, 15 layers, h = 16, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_pixelcnn.py --workdir=runs/mnist_pixelcnn

The paper's Table 4: 81.30 nats on test. docs/results.md has the score of the trained model that comes with the package.
The paper does not give this model's size; these are its 15 layers for CIFAR-10 and the Diagonal BiLSTM's h.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with another layer, deeper."""
    config = shipped_config("mnist_rowlstm")
    config.model.update(layer="pixel_cnn", depth=15)
    return config
