"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import functools
import importlib.util
import io
import sys
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, decode, other_size, read_size
from pixel_rnn_jax.data.image_set import CHUNK, LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError, about, damage_as, documentation
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.paths import as_path, is_folder, is_remote, local_copy
from pixel_rnn_jax.progress import progress_bar

BINARY = ("binarized_mnist",)  # stored as 0 and 1; all others as 0 to 255


def read_tfds(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """The images of a TFDS set, which is downloaded and prepared first if the data directory lacks it."""
    import tensorflow_datasets as tfds  # imported here, since it takes a second

    builder = _builder(argument, config)
    if is_remote(builder.data_path) and is_folder(builder.data_path):
        builder = tfds.builder_from_directory(local_copy(builder.data_path))  # remote records would cost a request each
    if not builder.data_path.exists():
        _prepare(builder)
    if "train" not in builder.info.splits:
        raise InputError(f"{builder.data_path} must have a split train; got {', '.join(builder.info.splits) or 'none'}.")
    feature = _image_feature(builder, model)
    size, classes = config.size or feature.shape[:2], None
    if model.num_classes:
        classes = tuple(getattr(_label_feature(builder), "names", None) or ()) or None
    images, labels = {}, {}
    with _naming_damage(builder.data_path):
        for split in (split for split in SPLITS if split in builder.info.splits):
            records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
            order = _original_order(records)
            if None in size:
                size = read_size(io.BytesIO(records[0]["image"]))
            read = functools.partial(
                _read_records,
                records=records,
                name=f"{builder.data_path}, {split}",
                channels=model.channels,
                config=config,
                size=size,
            )
            images[split] = LazyImages(read, order, (*size, model.channels))
            if model.num_classes:
                labels[split] = np.array(_column(records, "label"))[order]
    levels = 2 if builder.name in BINARY else 256
    return Source(images, levels=levels, labels=labels, classes=classes, in_published_order=True)


def is_prepared(argument: str, config: DataConfig) -> bool:
    """Whether the data directory has a TFDS set, so that `read_tfds` downloads nothing."""
    return _builder(argument, config).data_path.exists()


def _builder(argument: str, config: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    data_dir = config.data_dir and str(as_path(config.data_dir))
    with damage_as(f"tfds:{argument} cannot be opened; see tensorflow.org/datasets/catalog for its name"):
        return tfds.builder(argument, data_dir=data_dir, file_format="array_record")


def _naming_damage(name: Any) -> contextlib.AbstractContextManager[None]:
    return damage_as(f"{name} is damaged, or not in array_record form; delete it to have it prepared anew")


def _prepare(builder: Any) -> None:
    missing = f"tfds:{builder.info.full_name} is not at {builder.data_path}"
    by_hand = (
        "To provide the files by hand, put the prepared set there, in array_record form, or its raw files into"
        f" {builder.data_dir_root / 'downloads' / 'manual'}; see {documentation('data.md')}"
    )
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(f"{missing}; to prepare it, TFDS needs TensorFlow: pip install 'pixel_rnn_jax[tfds]'. {by_hand}.")
    print(
        f"{missing}: TFDS downloads and prepares it now, which may take long; without network it retries for minutes. Ctrl-C"
        f" stops it. {by_hand}.",
        file=sys.stderr,
        flush=True,
    )
    with damage_as(f"{missing}, and TFDS could not prepare it. {by_hand}"):
        builder.download_and_prepare()


def _image_feature(builder: Any, model: ModelConfig) -> Any:
    import tensorflow_datasets as tfds

    name, features = f"tfds:{builder.info.full_name}", builder.info.features
    feature = features["image"] if "image" in features else None  # noqa: SIM401, it has no `get`
    if not isinstance(feature, tfds.features.Image) or feature.np_dtype != np.uint8 or feature.shape[2] not in MODES:
        raise InputError(
            f"{name} must have a feature image of 8 bits and 1, 3 or 4 channels; got {feature or ', '.join(features)}."
        )
    if feature.shape[2] != model.channels:
        raise InputError(f"model.channels must be {feature.shape[2]} for {name}; got {model.channels}.")
    return feature


def _label_feature(builder: Any) -> Any:
    features = builder.info.features
    feature = features["label"] if "label" in features else None  # noqa: SIM401, it has no `get`
    if feature is None or feature.shape != () or not np.issubdtype(feature.np_dtype, np.integer):
        raise InputError(f"tfds:{builder.info.full_name} must have a feature label, for classes; got {', '.join(features)}.")
    return feature


def _column(records: Any, feature: str) -> list[Any]:
    """One feature of all records."""
    values = []
    with progress_bar(len(records), unit="image", description=f"reading {feature}s", delay=2.0, leave=False) as bar:
        for start in range(0, len(records), CHUNK):
            examples = records.__getitems__(list(range(start, min(start + CHUNK, len(records)))))
            values += [example[feature] for example in examples]
            bar.update(len(examples))
    return values


def _original_order(records: Any) -> np.ndarray:
    """TFDS shuffles what it stores; ids of examples, as in CIFAR-10, give the set's own order."""
    if "id" not in records.dataset_info.features:
        return np.arange(len(records))
    return np.argsort(_column(records, "id"), kind="stable")


def _read_records(
    numbers: Integer[np.ndarray, " B"], *, records: Any, name: str, channels: int, config: DataConfig, size: tuple[int, int]
) -> UInt8[np.ndarray, "B H W C"]:
    with _naming_damage(name):
        examples = records.__getitems__(numbers.tolist())
    images = []
    for number, example in zip(numbers, examples, strict=True):
        with about(f"{name}: image {number}", "."):
            image = decode(io.BytesIO(example["image"]), channels=channels, size=config.size, alpha=config.alpha)
            if image.shape[:2] != size:
                raise InputError(other_size(image.shape[:2], size))
            images.append(image)
    return np.stack(images)
