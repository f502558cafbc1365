"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import dataclasses
import difflib
import functools
import importlib.util
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_same_size, decode, fit
from pixel_rnn_jax.data.image_set import CHUNK, LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError, is_of_the_machine, one_line
from pixel_rnn_jax.paths import as_path, is_folder, is_remote, local_copy
from pixel_rnn_jax.progress import progress_bar

BINARY = ("binarized_mnist",)  # stored as 0 and 1; all others as 0 to 255


def read_tfds(argument: str, config: DataConfig, channels: int) -> Source:
    """The images of a TFDS set; downloaded and prepared first, if the data directory lacks it.

    Raises:
      InputError: if TFDS does not know the set, cannot prepare it, or it holds no 8-bit images of so many channels.
    """
    import tensorflow_datasets as tfds  # imported where it is used, since it takes a second

    builder = _builder(argument, config)
    if is_remote(builder.data_path) and is_folder(builder.data_path):
        local = local_copy(builder.data_path)  # read from there, each image would be a request
        below = builder.data_path.relative_to(builder.data_dir_root)
        builder = _builder(argument, dataclasses.replace(config, data_dir=str(local).removesuffix(f"/{below}")))
    if not builder.data_path.exists():
        _prepare(builder)
    if not builder.info.splits:
        raise InputError(f"{builder.data_path} is incomplete: it says nothing of splits. Remove it, so that it is made anew.")
    if "train" not in builder.info.splits:
        raise InputError(f"tfds:{argument} must have a split train; got {', '.join(builder.info.splits)}.")
    feature = _image_feature(builder, channels)
    stored_size = None if None in feature.shape[:2] else tuple(feature.shape[:2])
    splits, stored = {}, {}
    for split in (split for split in SPLITS if split in builder.info.splits):
        with _named_damage(builder.data_path):
            records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
            numbers = _original_order(records)
            stored[split] = records, numbers
            stored_size = stored_size or decode(io.BytesIO(records[0]["image"]), channels=channels).shape[:2]
        read = functools.partial(
            _read_records,
            records=records,
            path=builder.data_path,
            split=split,
            channels=channels,
            size=config.size,
            stored_size=stored_size,
        )
        splits[split] = LazyImages(read, numbers, (*(config.size or stored_size), channels))
    return Source(
        splits,
        levels=2 if builder.name in BINARY else 256,
        labels=functools.partial(_labels, builder, stored),
        classes=functools.partial(_classes, builder),
    )


@contextlib.contextmanager
def _named_damage(path: Any) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"{path} cannot be read in any order ({one_line(error, 400)}); TFDS must prepare the set with"
            " file_format='array_record'."
        ) from None
    except Exception as error:  # whatever TFDS, protobuf and array_record raise about files that are not what they should be
        if is_of_the_machine(error):
            raise
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {one_line(error, 400)}). Remove it, so that it is made anew."
        ) from None


def _builder(name: str, config: DataConfig) -> Any:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    as_path(config.data_dir or "")  # that it can be reached
    try:
        return tfds.builder(name, data_dir=config.data_dir, file_format="array_record")
    except DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known, n=4)
        hint = f"did you mean {', '.join(close)}?" if close else "see tensorflow.org/datasets/catalog."
        raise InputError(f"data.source 'tfds:NAME' must name a set that TFDS knows; got {name!r}: {hint}") from None
    except Exception as error:  # of a wrong version or configuration, or of damaged files
        if is_of_the_machine(error):
            raise
        configs = _configs(name)
        hint = f"Its configurations are {', '.join(configs)}." if configs else one_line(error, 400)
        raise InputError(f"tfds:{name} cannot be opened. {hint}") from None


def _configs(name: str) -> list[str]:
    import tensorflow_datasets as tfds

    try:
        return [config.name for config in tfds.builder_cls(name.partition("/")[0]).BUILDER_CONFIGS]
    except ValueError:
        return []


def _prepare(builder: Any) -> None:
    missing = f"tfds:{builder.info.full_name} is not at {builder.data_path}"
    others = sorted(path.name for path in builder.data_path.parent.glob("*.*.*")) if builder.data_path.parent.exists() else []
    if others:
        missing += f" (there is {', '.join(others)}: tfds:{builder.info.full_name.rpartition('/')[0]}:{others[-1]})"
    by_hand = (
        "To give the files by hand, put the prepared set there, in array_record form, or what it is made from into"
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

    features = builder.info.features
    is_dict = isinstance(features, tfds.features.FeaturesDict)
    feature = features["image"] if is_dict and "image" in features else None
    if not isinstance(feature, tfds.features.Image):
        raise InputError(f"tfds:{builder.info.full_name} must have a feature image; got {', '.join(features)}.")
    if feature.np_dtype != np.uint8:
        raise InputError(f"tfds:{builder.info.full_name} must hold 8-bit images; got {np.dtype(feature.np_dtype).name}.")
    if feature.shape[2] not in MODES:
        raise InputError(f"tfds:{builder.info.full_name} must hold images of 1 or 3 channels; got {feature.shape[2]}.")
    if feature.shape[2] != channels:
        raise InputError(f"model.channels must be {feature.shape[2]} for tfds:{builder.info.full_name}; got {channels}.")
    return feature


def _classes(builder: Any) -> tuple[str, ...] | None:
    return tuple(getattr(builder.info.features["label"], "names", None) or ()) or None


def _labels(builder: Any, stored: dict[str, tuple[Any, np.ndarray]], split: str) -> Integer[np.ndarray, " N"]:
    """The feature `label` of a split, in the order of its images."""
    features = builder.info.features
    feature = features["label"] if "label" in features else None  # noqa: SIM401, it has no `get`
    if feature is None or feature.shape != () or not np.issubdtype(feature.np_dtype, np.integer):
        raise InputError(f"tfds:{builder.info.full_name} must have a feature label, for classes; got {', '.join(features)}.")
    records, numbers = stored[split]
    with _named_damage(builder.data_path):
        labels = [example["label"] for example in _in_chunks(records, f"reading labels, {split}")]
    return np.array(labels, np.int32)[numbers]


def _in_chunks(records: Any, description: str) -> Iterator[Any]:
    with progress_bar(len(records), unit="image", description=description, delay=2.0, leave=False) as bar:
        for start in range(0, len(records), CHUNK):
            chunk = records.__getitems__(list(range(start, min(start + CHUNK, len(records)))))
            yield from chunk
            bar.update(len(chunk))


def _read_records(
    numbers: Integer[np.ndarray, " B"],
    *,
    records: Any,
    path: Any,
    split: str,
    channels: int,
    size: tuple[int, int] | None,
    stored_size: tuple[int, int],
) -> UInt8[np.ndarray, "B H W C"]:
    with _named_damage(path):
        examples = records.__getitems__(numbers.tolist())
    images = []
    for number, example in zip(numbers, examples, strict=True):
        try:
            image = decode(io.BytesIO(example["image"]), channels=channels)
            if size is None:
                check_same_size(image.shape[:2], stored_size)
            images.append(image if size is None else fit(image, size))
        except InputError as error:
            raise InputError(f"{path}: image {number} of {split} {error}.") from None
    return np.stack(images)


def _original_order(records: Any) -> np.ndarray:
    """TFDS shuffles what it stores; where examples keep an id, as in CIFAR-10, it gives the set's own order."""
    if "id" not in records.dataset_info.features:
        return np.arange(len(records))
    return np.argsort([example["id"] for example in _in_chunks(records, "looking at the records")], kind="stable")
