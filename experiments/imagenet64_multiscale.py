"""Multi-Scale PixelRNN (§3.6 of the paper) on ImageNet, 64x64 pixels: Row LSTMs, 32x32 first.

python -m experiments.train --config=experiments/imagenet64_multiscale.py --workdir=runs/imagenet64_multiscale

The paper's Figure 9 shows samples of such a model; it gives no score.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration with two sizes and a wider context network."""
    config = shipped_config("imagenet64_rowlstm")
    config.model.update(sizes=(32, 64), context_features=128)
    return config
