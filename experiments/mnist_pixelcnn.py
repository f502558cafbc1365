"""PixelCNN, 15 layers, h = 32, on binarized MNIST.

python -m experiments.train --config=experiments/mnist_pixelcnn.py --workdir=runs/mnist_pixelcnn

The paper's Table 4: 81.30 nats on test. docs/results.md has the score of the trained model that comes with the package.
The paper does not give this model's size; these are its 15 layers for CIFAR-10 and the h of its one-layer Diagonal BiLSTM.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with another layer, deeper, 9.6 epochs, and a smaller rate."""
    config = shipped_config("mnist_rowlstm")
    config.model.update(layer="pixel_cnn", depth=15)
    config.optimizer.learning_rate = 4e-3
    config.num_steps = 30_000
    return config
