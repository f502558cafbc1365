"""PixelCNN on scikit-learn's digits (8x8 pixels, 17 levels).

python -m experiments.train --config=experiments/digits_pixelcnn.py --workdir=runs/digits_pixelcnn

About 1.76 bits/dim on test.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Diagonal BiLSTM's configuration with another layer, deeper."""
    config = shipped_config("digits_diagonal_bilstm")
    config.model.update(layer="pixel_cnn", depth=6)
    return config
