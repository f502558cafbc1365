"""Configurations. `python -m experiments.NAME` finds the commands too, in pixel_rnn_jax/cli/NAME.py."""

from pixel_rnn_jax import cli

__path__ += cli.__path__
