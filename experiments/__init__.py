"""Configurations. The commands are found here too: `python -m experiments.train` is pixel_rnn_jax/cli/train.py."""

from pixel_rnn_jax import cli

__path__ += cli.__path__
