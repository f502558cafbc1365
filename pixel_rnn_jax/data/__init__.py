"""From a named source of images to batches: sources, preprocessing, and Grain pipelines. Imports `models` and `parallel`."""

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.dataset import Dataset
from pixel_rnn_jax.data.image_set import Examples, ImageSet, at_most
from pixel_rnn_jax.data.pipeline import Batch, eval_batches
from pixel_rnn_jax.data.sources import SOURCES

__all__ = ["SOURCES", "Batch", "DataConfig", "Dataset", "Examples", "ImageSet", "at_most", "eval_batches"]
