"""A few test images of MNIST and CIFAR-10, which come with the package."""

from pathlib import Path

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.numpy_files import load_npz
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig

FOLDER = Path(__file__).parents[1] / "samples"  # its README.md says where they are from, and under which licence
CLASSES = {
    "mnist": None,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def read_samples(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """Twenty test images, two of each class. A model of binary images gets the digits in their fixed binarization."""
    if argument not in CLASSES:
        raise InputError(f"data.source 'samples:NAME' must name one of {', '.join(CLASSES)}; got {argument!r}.")
    arrays, names = load_npz(FOLDER / f"{argument}.npz", ("images", "binarized", "labels"))
    binary = model.levels == 2 and config.binarization == "none" and not config.quantize and "binarized" in names
    images = arrays["binarized" if binary else "images"]
    levels = 2 if binary else 256
    return Source({"train": images}, levels, labels={"train": arrays["labels"]}, classes=CLASSES[argument])
