"""PixelCNN, 24 layers, h = 24, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_pixelcnn.py --workdir=runs/mnist_pixelcnn

The paper's Table 4: 81.30 nats on test. docs/results.md has the score of the trained model that comes with the package.
The paper does not give this model's size. 24 layers are the fewest with which the last of the 28 rows sees all others: the 7x7
convolution sees 3 rows above a pixel, and each layer one more.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with another layer, deeper and narrower, and a smaller rate."""
    config = shipped_config("mnist_rowlstm")
    config.model.update(layer="pixel_cnn", depth=24, features=24, head_features=48)
    config.optimizer.learning_rate = 4e-3
    return config
