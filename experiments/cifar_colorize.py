"""Colorization: a Row LSTM draws CIFAR-10's images, conditioned on the same images in grey.

python -m experiments.train --config=experiments/cifar_colorize.py --workdir=runs/cifar_colorize

Nobody published a score. docs/conditional.md has a small model for a CPU, with its result.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The Row LSTM's configuration, conditioned on grey images through a network that looks at 9x9 pixels of them."""
    config = shipped_config("cifar_rowlstm")
    config.data.context = "grey"
    config.model.update(context_channels=1, context_features=64, context_depth=4)
    return config
