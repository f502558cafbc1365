"""Checks that any layer must pass, for authors of layers. May import all folders before it, but no command."""

from pixel_rnn_jax.testing.check_layer import check_layer

__all__ = ["check_layer"]
