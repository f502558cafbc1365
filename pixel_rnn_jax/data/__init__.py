"""From a named source of images to batches: sources, preprocessing, and Grain pipelines. Imports `models` and `parallel`."""

from pixel_rnn_jax.data.conditions import grey
from pixel_rnn_jax.data.config import BINARIZATIONS, DataConfig
from pixel_rnn_jax.data.dataset import SOURCES, Dataset, Examples
from pixel_rnn_jax.data.image_set import ImageSet, LazyImages, at_most, decoded, in_order, random_numbers, random_subset, take
from pixel_rnn_jax.data.inputs import PictureForm, holds_images, input_files, is_npz, read_given, read_input, read_mask
from pixel_rnn_jax.data.pipeline import Batch, eval_batches, train_batches
from pixel_rnn_jax.data.sources.source import SPLITS

__all__ = [
    "BINARIZATIONS",
    "SOURCES",
    "SPLITS",
    "Batch",
    "DataConfig",
    "Dataset",
    "Examples",
    "ImageSet",
    "LazyImages",
    "PictureForm",
    "at_most",
    "decoded",
    "eval_batches",
    "grey",
    "holds_images",
    "in_order",
    "input_files",
    "is_npz",
    "random_numbers",
    "random_subset",
    "read_given",
    "read_input",
    "read_mask",
    "take",
    "train_batches",
]
