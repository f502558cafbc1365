"""From a named source of images to batches: sources, preprocessing, and Grain pipelines. Imports `models` and `parallel`."""

from pixel_rnn_jax.data.conditioning import grey
from pixel_rnn_jax.data.config import BINARIZATIONS, DataConfig
from pixel_rnn_jax.data.dataset import Dataset
from pixel_rnn_jax.data.image_set import (
    Examples,
    ImageSet,
    LazyImages,
    at_most,
    decoded,
    in_order,
    random_numbers,
    random_subset,
    take,
)
from pixel_rnn_jax.data.inputs import ImageForm, holds_images, is_npz, picture_files, read_conditions, read_images, read_mask
from pixel_rnn_jax.data.pipeline import Batch, eval_batches, train_batches
from pixel_rnn_jax.data.preprocessing import RandomPreprocessing, quantize
from pixel_rnn_jax.data.sources import SOURCES

__all__ = [
    "BINARIZATIONS",
    "SOURCES",
    "Batch",
    "DataConfig",
    "Dataset",
    "Examples",
    "ImageForm",
    "ImageSet",
    "LazyImages",
    "RandomPreprocessing",
    "at_most",
    "decoded",
    "eval_batches",
    "grey",
    "holds_images",
    "in_order",
    "is_npz",
    "picture_files",
    "quantize",
    "random_numbers",
    "random_subset",
    "read_conditions",
    "read_images",
    "read_mask",
    "take",
    "train_batches",
]
