"""Exact likelihoods of images: the models of *Pixel Recurrent Neural Networks* (arXiv 1601.06759) in JAX."""

from pixel_rnn_jax.compression.codec import compress, decompress
from pixel_rnn_jax.compression.container import compressed_shape
from pixel_rnn_jax.compression.picture_formats import encoded_sizes
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.generation.by_rows import Progress, complete_by_rows, sample_by_rows
from pixel_rnn_jax.generation.sampling import complete, sample
from pixel_rnn_jax.images import quantize, to_picture
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.dependencies import dependencies
from pixel_rnn_jax.models.likelihood import bits_per_dim, conditionals, log_prob, log_probs
from pixel_rnn_jax.models.multi_scale import MultiScalePixelRNN, make_model, pixel_order
from pixel_rnn_jax.models.pixel_rnn import PixelRNN
from pixel_rnn_jax.pretrained import Pretrained, from_pretrained
from pixel_rnn_jax.storage.export import save
from pixel_rnn_jax.storage.load import load, shipped_models
from pixel_rnn_jax.training.gradient import loss_and_grad

__all__ = [
    "InputError",
    "ModelConfig",
    "MultiScalePixelRNN",
    "PixelRNN",
    "Pretrained",
    "Progress",
    "bits_per_dim",
    "complete",
    "complete_by_rows",
    "compress",
    "compressed_shape",
    "conditionals",
    "decompress",
    "dependencies",
    "encoded_sizes",
    "from_pretrained",
    "load",
    "log_prob",
    "log_probs",
    "loss_and_grad",
    "make_model",
    "pixel_order",
    "quantize",
    "sample",
    "sample_by_rows",
    "save",
    "shipped_models",
    "to_picture",
]
__version__ = "0.2.0"
