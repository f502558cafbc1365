"""The images that a command works on, and their conditioning."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import UInt

from pixel_rnn_jax.cli.datasets import open_dataset
from pixel_rnn_jax.cli.flags import AS_IS
from pixel_rnn_jax.data import SOURCES, Examples, ImageSet, at_most
from pixel_rnn_jax.data.conditioning import grey
from pixel_rnn_jax.data.config import AS_STORED
from pixel_rnn_jax.data.dataset import Dataset
from pixel_rnn_jax.data.image_set import decoded, joined, random_numbers, take
from pixel_rnn_jax.data.user_files import (
    SIZE_FLAG,
    ImageForm,
    UserImages,
    holds_images,
    is_arrays,
    is_npz,
    read_conditions,
    read_images,
)
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_shape
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions, check_conditions, plain
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.storage.run_record import RunRecord


class Input(NamedTuple):
    """The images that a command works on.

    Attributes:
      name: of the whole set.
      names: of each image: its file or its number.
      images: in [0, levels).
      conditions: those that the model takes.
    """

    name: str
    names: Sequence[str]
    images: ImageSet
    conditions: Conditions


def open_input(
    path: str | None,
    args: argparse.Namespace,
    run: RunRecord,
    *,
    default_num: int | None = None,
    lossless: bool = False,
    in_memory: bool = True,
    needs_labels: bool = True,
) -> Input:
    """Opens the images that --input names; by default those of the training's data source.

    Pictures are cut and reduced to the size of the training's, or to --size. Of another data source all images are taken,
    unless --split names some.

    Args:
      path: the flag's value.
      args: with the other flags of `flags.INPUT`.
      run: of the trained model.
      default_num: size of the random subset to take without --num; all if there are no more, or if None.
      lossless: take pictures at their size, and refuse values that the model cannot represent; otherwise pictures are cut,
        reduced and quantized as the training's images were.
      in_memory: decode the images now, however many there are.
      needs_labels: refuse images of a file whose class is not known, if the model is class-conditional.
    """
    _check_flags(args)
    model = run.model
    label = label_number(args.label, run)
    if names_data(path):
        found = _input_of_source(path, args, run, lossless=lossless)
    else:
        found = _input_of_file(path, args, run, lossless=lossless)
    _note_other_size(found, run)
    conditions = labelled(found.conditions, label, len(found.images))
    if conditions.labels is None and not needs_labels:
        model = replace(model, num_classes=0)
    _check_present(found.name, model, conditions)
    if not names_data(path):  # a source has checked its own
        check_conditions(model, conditions, found.images.shape[:3])
        conditions = plain(model, conditions)  # files may hold any type of integers
    num = checked_num(found.name, len(found.images), args.num, default_num)
    if num < len(found.images):
        numbers = random_numbers(len(found.images), num, args.seed)
        chosen = take(Examples(found.images, conditions), numbers)
        return Input(found.name, [found.names[number] for number in numbers], *chosen)
    images = found.images
    if in_memory:
        images = decoded(images, name=found.name, num_threads=run.data.num_threads)
    return Input(found.name, found.names, images, conditions)


def open_contexts(
    args: argparse.Namespace, run: RunRecord, *, default_num: int
) -> tuple[Conditions, UInt[np.ndarray, "N H W C"] | None]:
    """The context images that --input names, with their labels; and the true images, if they are known."""
    _check_flags(args)
    path, model = args.input, run.model
    if names_data(path) or holds_images(path):
        found = open_input(path, args, run, default_num=default_num)
        return found.conditions, found.images
    if is_npz(path):
        conditions = read_conditions(path)
    else:
        size = _picture_size(args, tuple(run.image_shape[:2]))
        size = size and tuple(side // model.context_scale for side in size)
        treatment = {"size": size, "alpha": _alpha(args, run), "skip_bad": _skips(args, run)}
        form = ImageForm(model.context_levels, model.context_channels, **treatment)
        conditions = Conditions(_read(path, form).images)
    if conditions.context is not None:
        conditions = labelled(conditions, label_number(args.label, run), len(conditions.context))
    _check_present(path, model, conditions)
    check_shape(conditions.context, channels=model.context_channels)
    num, height, width, _ = conditions.context.shape
    check_conditions(model, conditions, (num, height * model.context_scale, width * model.context_scale))
    return at_most(plain(model, conditions), checked_num(path, num, args.num, default_num), args.seed), None


def names_data(path: str | None) -> bool:
    """Whether --input names a data source rather than a file; without it, the training's source is meant."""
    return path is None or (path.partition(":")[0] in SOURCES and not Path(path).exists())


def label_number(text: str | None, run: RunRecord) -> int | None:
    """The number of the class that --label gives by name or number."""
    return None if text is None else run.label_number("--label", text)


def labelled(conditions: Conditions, label: int | None, num: int) -> Conditions:
    """The conditions with one class for all `num` images; unchanged if `label` is None."""
    return conditions if label is None else conditions._replace(labels=np.full(num, label, np.int32))


def present(conditions: Conditions) -> dict[str, np.ndarray]:
    """The arrays of the conditions that are not None, by name."""
    return {name: np.asarray(array) for name, array in conditions._asdict().items() if array is not None}


def checked_num(name: str, count: int, asked: int | None, default: int | None = None) -> int:
    """How many of `count` images to take: those asked for, else the default, else all; raises `InputError` if too few."""
    if not count:
        raise InputError(f"{name} must hold at least 1 image; got 0.")
    num = min(default or count, count) if asked is None else asked
    if not 1 <= num <= count:
        raise InputError(f"--num must be from 1 to {count}, the images in {name}; got {num}.")
    return num


def _check_flags(args: argparse.Namespace) -> None:
    """Raises `InputError` if there are flags for data sources, but all images come from files."""
    paths = [args.input, *filter(None, [getattr(args, "against", None)])]
    sources = [path for path in paths if names_data(path)]
    for name in ("split", "data_dir", "binarization"):
        value = getattr(args, name)
        if value is not None and not sources:
            raise InputError(f"--{name} is for data sources; got {value!r} with images of {paths[0]}.")
    if args.size is not None and all(path is not None and is_arrays(path) and not names_data(path) for path in paths):
        raise InputError(
            f"--size is for pictures; got {args.size} with the arrays of {paths[0]}, which are taken as they are."
        )
    if args.binarization is not None and not any(sources):
        raise InputError(f"--binarization is for a data source that is named; got {args.binarization!r} without one.")


def _picture_size(args: argparse.Namespace, default: tuple[int, int] | None) -> tuple[int, int] | None:
    """The size to which pictures are cut and reduced; None if they are taken as they are."""
    if args.size is None:
        return default
    return None if args.size == AS_IS else args.size


def _skips(args: argparse.Namespace, run: RunRecord) -> bool:
    return args.skip_bad or run.data.skip_bad


def _alpha(args: argparse.Namespace, run: RunRecord) -> str:
    return args.alpha or run.data.alpha


def _read(path: str, form: ImageForm) -> UserImages:
    found = read_images(path, form._replace(flags=True))
    for line in found.notes:
        tell(line)
    return found


def _note_other_size(found: Input, run: RunRecord) -> None:
    size, trained = found.images.shape[1:3], tuple(run.image_shape[:2])
    if size != trained:
        sides = ("x".join(map(str, pair)) for pair in (size, trained))
        tell("{}: images of {} pixels; the model was trained on {}".format(found.name, *sides))


def _input_of_source(path: str | None, args: argparse.Namespace, run: RunRecord, *, lossless: bool) -> Input:
    data, model = run.data, run.model
    others = path not in (None, data.source)
    size = None if lossless and others else _picture_size(args, run.picture_form().size)
    reduced = args.size is not None or (others and size != data.size)
    data = replace(data, size=size if reduced else data.size, skip_bad=_skips(args, run), alpha=_alpha(args, run))
    if path is not None:
        data_dir = data.data_dir if path.startswith("tfds:") else None  # else relative to the user's folder
        data = replace(data, source=path, data_dir=data_dir, binarization=args.binarization or data.binarization)
    if args.label is not None:
        model = replace(model, num_classes=0)  # the source need not have labels
    whole = others and args.split is None
    dataset = open_dataset(data, model, args.data_dir, run.classes, carve=not whole)
    if reduced and size:
        tell(f"{data.source}: larger images are cut and reduced to {size[0]}x{size[1]} pixels; {SIZE_FLAG}")
    if lossless and data.preprocessing != AS_STORED:
        tell(f"{data.source}: {data.preprocessing}; the resulting values are kept, not the stored ones")
    if whole:
        return _whole(data.source, dataset)
    split = args.split or dataset.final_split
    return Input(f"{data.source}, {split}", dataset.names(split), *dataset.examples(split))


def _whole(source: str, dataset: Dataset) -> Input:
    """All images of a source, whatever its splits; a number tells an image of a split only with the split's name."""
    names = {split: dataset.names(split) for split in dataset.splits}
    several = len(names) > 1
    names = [f"{split}/{name}" if several and name.isdecimal() else name for split in names for name in names[split]]
    return Input(source, names, *jax.tree.map(joined, *map(dataset.examples, dataset.splits)))


def _input_of_file(path: str, args: argparse.Namespace, run: RunRecord, *, lossless: bool) -> Input:
    model, data = run.model, run.data
    if model.input == "embedding" and args.size not in (None, AS_IS):
        raise InputError(
            f"--size is for values with an order, which can be averaged; got {args.size} with model.input=embedding."
        )
    if lossless:
        form = ImageForm(model.levels, model.channels, lossless=True, alpha=args.alpha or "error")
    else:
        form = run.picture_form()
        form = form._replace(size=_picture_size(args, form.size), alpha=_alpha(args, run))
    images, names, _ = _read(path, form._replace(skip_bad=_skips(args, run)))
    stored = read_conditions(path) if is_npz(path) else UNCONDITIONAL
    context = grey(images) if data.context == "grey" else stored.context
    conditions = Conditions(context if model.context_channels else None, stored.labels if model.num_classes else None)
    return Input(path, names, images, conditions)


def _check_present(name: str, model: ModelConfig, conditions: Conditions) -> None:
    """Raises `InputError` if labels or context images are missing, and says where they may come from."""
    if model.num_classes and conditions.labels is None:
        raise InputError(
            f"the model is class-conditional: {name} must be an npz file that holds the classes as the array `labels`; or name"
            " a data source that has labels, such as folder:PATH, or give --label."
        )
    if model.context_channels and conditions.context is None:
        raise InputError(
            f"the model draws images given others: {name} must be an npz file that holds them as the array `context`."
        )
