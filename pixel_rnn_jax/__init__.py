"""Exact likelihoods of images: the models of *Pixel Recurrent Neural Networks* (arXiv 1601.06759) in JAX."""

from pixel_rnn_jax.codec import compress, decompress
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.likelihood import bits_per_dim, log_prob
from pixel_rnn_jax.loading import load
from pixel_rnn_jax.model import PixelRNN
from pixel_rnn_jax.model_config import ModelConfig
from pixel_rnn_jax.multi_scale import MultiScalePixelRNN, make_model
from pixel_rnn_jax.sampling import complete, sample
from pixel_rnn_jax.weights_file import save

__all__ = [
    "InputError",
    "ModelConfig",
    "MultiScalePixelRNN",
    "PixelRNN",
    "bits_per_dim",
    "complete",
    "compress",
    "decompress",
    "load",
    "log_prob",
    "make_model",
    "sample",
    "save",
]
__version__ = "0.1.0"
