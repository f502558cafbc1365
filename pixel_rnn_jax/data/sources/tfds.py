"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import functools
import importlib.util
import io
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_same_size, decode
from pixel_rnn_jax.data.image_set import CHUNK, LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError, is_of_the_machine, one_line
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.paths import as_path, is_folder, is_remote, local_copy
from pixel_rnn_jax.progress import progress_bar

BINARY = ("binarized_mnist",)  # stored as 0 and 1; all others as 0 to 255


class Split(NamedTuple):
    """A split as TFDS stores it: a data source of encoded examples, and their numbers in the order of the images."""

    name: str
    records: Any
    numbers: Integer[np.ndarray, " N"]


def read_tfds(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """The images of a TFDS set, which is downloaded and prepared first if the data directory lacks it."""
    import tensorflow_datasets as tfds  # imported here, since it takes a second

    as_path(config.data_dir or "")  # raises if it cannot be reached
    try:
        builder = tfds.builder(argument, data_dir=config.data_dir, file_format="array_record")
    except Exception as error:  # a wrong name, version or configuration, or damaged files
        if is_of_the_machine(error):
            raise
        raise InputError(
            f"tfds:{argument} cannot be opened ({one_line(error, 400)}). See tensorflow.org/datasets/catalog for its name."
        ) from None
    if is_remote(builder.data_path) and is_folder(builder.data_path):
        builder = tfds.builder_from_directory(local_copy(builder.data_path))  # remote records would cost a request each
    if not builder.data_path.exists():
        _prepare(builder)
    if "train" not in builder.info.splits:
        raise InputError(f"{builder.data_path} must have a split train; got {', '.join(builder.info.splits) or 'none'}.")
    channels = model.channels
    feature = _image_feature(builder, channels)
    with _naming_damage(builder.data_path):
        splits = []
        for name in (name for name in SPLITS if name in builder.info.splits):
            records = builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()})
            splits.append(Split(name, records, _original_order(records)))
        size = config.size or feature.shape[:2]
        if None in size:
            size = decode(io.BytesIO(splits[0].records[0]["image"]), channels=channels).shape[:2]
    images = {}
    for split in splits:
        read = functools.partial(
            _read_records, split=split, path=builder.data_path, channels=channels, config=config, size=size
        )
        images[split.name] = LazyImages(read, split.numbers, (*size, channels))
    labels, classes = _read_labels(builder, splits) if model.num_classes else ({}, None)
    return Source(images, levels=2 if builder.name in BINARY else 256, labels=labels, classes=classes)


@contextlib.contextmanager
def _naming_damage(path: Any) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # TFDS, protobuf and array_record raise many kinds
        if is_of_the_machine(error):
            raise
        raise InputError(
            f"{path} is damaged, or not in array_record form ({type(error).__name__}: {one_line(error, 400)}). Delete it to"
            " have it prepared anew."
        ) from None


def _prepare(builder: Any) -> None:
    missing = f"tfds:{builder.info.full_name} is not at {builder.data_path}"
    by_hand = (
        "To provide the files by hand, put the prepared set there, in array_record form, or its raw files into"
        f" {builder.data_dir_root / 'downloads' / 'manual'}; see docs/data.md"
    )
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(f"{missing}; to prepare it, TFDS needs TensorFlow: pip install tensorflow-cpu. {by_hand}.")
    print(
        f"{missing}: TFDS downloads and prepares it now, which may take long; without network it retries for minutes. Ctrl-C"
        f" stops it. {by_hand}.",
        file=sys.stderr,
        flush=True,
    )
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever network, archive, disk and the set's own script raise
        raise InputError(
            f"{missing}, and TFDS could not prepare it ({type(error).__name__}: {one_line(error, 400)}). {by_hand}."
        ) from error


def _image_feature(builder: Any, channels: int) -> Any:
    import tensorflow_datasets as tfds

    name, features = f"tfds:{builder.info.full_name}", builder.info.features
    feature = features["image"] if "image" in features else None  # noqa: SIM401, it has no `get`
    if not isinstance(feature, tfds.features.Image) or feature.np_dtype != np.uint8 or feature.shape[2] not in MODES:
        raise InputError(
            f"{name} must have a feature image of 8 bits and 1 or 3 channels; got {feature or ', '.join(features)}."
        )
    if feature.shape[2] != channels:
        raise InputError(f"model.channels must be {feature.shape[2]} for {name}; got {channels}.")
    return feature


def _read_labels(builder: Any, splits: list[Split]) -> tuple[dict[str, Integer[np.ndarray, " _"]], tuple[str, ...] | None]:
    """The feature `label` by split, in the order of the images, and the names of the classes, if they have names."""
    features = builder.info.features
    feature = features["label"] if "label" in features else None  # noqa: SIM401, it has no `get`
    if feature is None or feature.shape != () or not np.issubdtype(feature.np_dtype, np.integer):
        raise InputError(f"tfds:{builder.info.full_name} must have a feature label, for classes; got {', '.join(features)}.")
    with _naming_damage(builder.data_path):
        numbers = {split.name: np.array(_column(split.records, "label"), np.int32)[split.numbers] for split in splits}
    return numbers, tuple(getattr(feature, "names", None) or ()) or None


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
    numbers: Integer[np.ndarray, " B"], *, split: Split, path: Any, channels: int, config: DataConfig, size: tuple[int, int]
) -> UInt8[np.ndarray, "B H W C"]:
    with _naming_damage(path):
        examples = split.records.__getitems__(numbers.tolist())
    images = []
    for number, example in zip(numbers, examples, strict=True):
        try:
            image = decode(io.BytesIO(example["image"]), channels=channels, size=config.size)
            check_same_size(image.shape[:2], size)
        except InputError as error:
            raise InputError(f"{path}: image {number} of {split.name} {error}.") from None
        images.append(image)
    return np.stack(images)
