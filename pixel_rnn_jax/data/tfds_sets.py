"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import difflib
import functools
import importlib.util
import io
import logging
import sys
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_files import MODES, check_same_size, decode, fit
from pixel_rnn_jax.data.image_set import CHUNK, LazyImages
from pixel_rnn_jax.data.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError

BINARY = ("binarized_mnist",)  # stored as 0 and 1; all others as 0 to 255


def read_tfds(argument: str, config: DataConfig, channels: int) -> Source:
    """The images of a TFDS set; downloaded and prepared first, if the data directory lacks it.

    Raises:
      InputError: if TFDS does not know the set, cannot prepare it, or it holds no 8-bit images of so many channels.
    """
    # It takes a second to import; and it recommends OpenCV, which is not needed to read stored images.
    logging.getLogger("absl").setLevel(logging.ERROR)
    import tensorflow_datasets as tfds

    builder = _builder(argument, config)
    if not builder.data_path.exists():
        _prepare(builder)
    feature = _image_feature(builder, channels)
    stored_size = None if None in feature.shape[:2] else tuple(feature.shape[:2])
    splits = {}
    for split in SPLITS:
        if split in builder.info.splits:
            try:
                records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
            except NotImplementedError:
                raise InputError(
                    f"{builder.data_path} holds {builder.info.file_format.value} files, which cannot be read in any order;"
                    " TFDS must prepare the set with file_format='array_record'."
                ) from None
            stored_size = stored_size or decode(io.BytesIO(records[0]["image"]), channels=channels).shape[:2]
            read = functools.partial(
                _read_records,
                records=records,
                name=f"tfds:{argument}, {split}",
                channels=channels,
                size=config.size,
                stored_size=stored_size,
            )
            splits[split] = LazyImages(read, _original_order(records), (*(config.size or stored_size), channels))
    if "train" not in splits:
        raise InputError(f"tfds:{argument} must have a split train; got {', '.join(builder.info.splits)}.")
    return Source(splits, levels=2 if builder.name in BINARY else 256)


def _builder(name: str, config: DataConfig) -> Any:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    try:
        return tfds.builder(name, data_dir=config.data_dir, file_format="array_record")
    except DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known, n=4)
        hint = f"did you mean {', '.join(close)}?" if close else "see tensorflow.org/datasets/catalog."
        raise InputError(f"data.source 'tfds:NAME' must name a set that TFDS knows; got {name!r}: {hint}") from None
    except (ValueError, AssertionError, ImportError, OSError) as error:
        configs = _configs(name)
        hint = f"Its configurations are {', '.join(configs)}." if configs else _one_line(error)
        raise InputError(f"tfds:{name} cannot be opened. {hint}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _configs(name: str) -> list[str]:
    import tensorflow_datasets as tfds

    try:
        return [config.name for config in tfds.builder_cls(name.partition("/")[0]).BUILDER_CONFIGS]
    except ValueError:
        return []


def _prepare(builder: Any) -> None:
    missing = f"tfds:{builder.info.full_name} is not at {builder.data_path}"
    by_hand = "put the prepared set there, in array_record form"
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(f"{missing}; to prepare it, TFDS needs TensorFlow: pip install 'pixel_rnn_jax[tfds]'. Or {by_hand}.")
    print(
        f"{missing}: TFDS downloads and prepares it now, which may take long; without network it retries for minutes. Ctrl-C"
        f" stops it. To give it the files by hand: {by_hand}, or what it would download into"
        f" {builder.data_dir_root / 'downloads' / 'manual'}.",
        file=sys.stderr,
        flush=True,
    )
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever network, archive, disk and the set's own script raise
        raise InputError(
            f"{missing}, and TFDS could not prepare it ({type(error).__name__}: {_one_line(error)}); {by_hand}."
        ) from error


def _image_feature(builder: Any, channels: int) -> Any:
    import tensorflow_datasets as tfds

    features = builder.info.features
    is_dict = isinstance(features, tfds.features.FeaturesDict)
    feature = features["image"] if is_dict and "image" in features else None
    if not isinstance(feature, tfds.features.Image):
        raise InputError(f"tfds:{builder.info.full_name} must have a feature image; got {', '.join(features)}.")
    if feature.np_dtype != np.uint8:
        raise InputError(f"tfds:{builder.info.full_name} must hold 8-bit images; got {np.dtype(feature.np_dtype).name}.")
    if feature.shape[2] != channels or channels not in MODES:
        raise InputError(f"model.channels must be {feature.shape[2]} for tfds:{builder.info.full_name}; got {channels}.")
    return feature


def _read_records(
    numbers: Integer[np.ndarray, " B"],
    *,
    records: Any,
    name: str,
    channels: int,
    size: tuple[int, int] | None,
    stored_size: tuple[int, int],
) -> UInt8[np.ndarray, "B H W C"]:
    images = []
    for number, example in zip(numbers, records.__getitems__(numbers.tolist()), strict=True):
        try:
            image = decode(io.BytesIO(example["image"]), channels=channels)
            if size is None:
                check_same_size(image.shape[:2], stored_size)
            images.append(image if size is None else fit(image, size))
        except InputError as error:
            raise InputError(f"{name}: image {number} {error}.") from None
    return np.stack(images)


def _original_order(records: Any) -> np.ndarray:
    """TFDS shuffles what it stores; where examples keep an id, as in CIFAR-10, it gives the set's own order."""
    if "id" not in records.dataset_info.features:
        return np.arange(len(records))
    chunks = (range(start, min(start + CHUNK, len(records))) for start in range(0, len(records), CHUNK))
    return np.argsort([example["id"] for chunk in chunks for example in records.__getitems__(chunk)], kind="stable")
