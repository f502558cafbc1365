"""The images that a command works on, and what each of them is given."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from pixel_rnn_jax.cli.command import open_dataset
from pixel_rnn_jax.data import (
    SOURCES,
    Examples,
    ImageSet,
    PictureForm,
    decoded,
    grey,
    holds_images,
    input_files,
    is_npz,
    random_numbers,
    random_subset,
    read_given,
    read_input,
    take,
)
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_shape
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions, check_conditions, plain
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.storage.run_record import RunRecord


class Input(NamedTuple):
    """The images that a command works on.

    Attributes:
      name: of all together.
      names: of each: its file, or its number.
      images: in [0, levels).
      conditions: what each of them is given.
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
    as_it_is: bool = False,
    in_memory: bool = True,
) -> Input:
    """The images that --input names, and what each of them is given.

    Args:
      path: the flag's value; None for the data of the training.
      args: with `split`, `binarization`, `num`, `seed`, `data_dir` and `label`.
      run: of the trained model.
      default_num: so many of them, if there are, without --num; None for all. They are picked at random, and stay in order.
      as_it_is: refuse pictures that have values which the model has not. Else, pictures are cut, reduced and quantized as the
        data of the training were.
      in_memory: decode the images, however many there are.
    """
    _check_flags(args)
    model = run.model
    label = label_number(args.label, model, run)
    found = _input_of_source(path, args, run) if names_data(path) else _input_of_file(path, run, as_it_is=as_it_is)
    conditions = labelled(found.conditions, label, len(found.images))
    _check_given(found.name, model, conditions)
    if not names_data(path):  # what comes from a source has been checked
        conditions = _checked(model, conditions, found.images.shape[:3])
    num = _checked_num(found.name, args.num, default_num, len(found.images))
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
) -> tuple[Conditions, UInt8[np.ndarray, "N H W C"] | None]:
    """What is given to a model that draws images given others, and the true images, if they are known.

    Args:
      args: with `input`, and what `open_input` takes.
      run: of the trained model.
      default_num: so many, if there are, without --num.
    """
    _check_flags(args)
    path, model = args.input, run.model
    if names_data(path) or holds_images(path):
        found = open_input(path, args, run, default_num=default_num)
        return found.conditions, found.images
    if is_npz(path):
        given = read_given(path)
    else:
        given = Conditions(read_input(path, levels=model.context_levels, channels=model.context_channels))
    if given.context is not None:
        given = labelled(given, label_number(args.label, model, run), len(given.context))
    _check_given(path, model, given)
    check_shape(given.context, channels=model.context_channels)
    num, height, width, _ = given.context.shape
    given = _checked(model, given, (num, height * model.context_scale, width * model.context_scale))
    return random_subset(given, _checked_num(path, args.num, default_num, num), args.seed), None


def names_data(path: str | None) -> bool:
    """Whether --input names a data source, and not a file; the data of the training, if it is not given."""
    return path is None or (path.partition(":")[0] in SOURCES and not Path(path).exists())


def _check_flags(args: argparse.Namespace) -> None:
    """Raises `InputError` if flags of data sources are given, and the images come from files."""
    paths = [args.input, *filter(None, [getattr(args, "against", None)])]
    sources = [path for path in paths if names_data(path)]
    for name in ("split", "data_dir", "binarization"):
        value = getattr(args, name)
        if value is not None and not sources:
            raise InputError(f"--{name} is for data sources; got {value!r} with images of {paths[0]}.")
    if args.binarization is not None and not any(sources):
        raise InputError(f"--binarization is for a data source that is named; got {args.binarization!r} without one.")


def _checked_num(name: str, asked: int | None, default: int | None, count: int) -> int:
    """How many images to take, of so many."""
    if not count:
        raise InputError(f"{name} must hold at least 1 image; it holds none.")
    num = min(default or count, count) if asked is None else asked
    if not 1 <= num <= count:
        raise InputError(f"--num must be from 1 to {count}, the images in {name}; got {num}.")
    return num


def label_number(text: str | None, model: ModelConfig, run: RunRecord) -> int | None:
    """The class that --label names or numbers."""
    if text is None:
        return None
    if not model.num_classes:
        raise InputError(f"--label is for class-conditional models; this one has no classes. Got {text!r}.")
    names = run.classes or ()
    if text in names:
        return names.index(text)
    if not text.isdecimal() or int(text) >= model.num_classes:
        known = f" or one of {', '.join(names)}" if names else ""
        raise InputError(f"--label must be a number in [0, {model.num_classes}){known}; got {text!r}.")
    return int(text)


def labelled(conditions: Conditions, label: int | None, num: int) -> Conditions:
    """The conditions, with the same class for each of `num` images, if there is one."""
    return conditions if label is None else conditions._replace(labels=np.full(num, label, np.int32))


def present(conditions: Conditions) -> dict[str, np.ndarray]:
    """The arrays of conditions that there are, by name."""
    return {name: np.asarray(array) for name, array in conditions._asdict().items() if array is not None}


def _input_of_source(path: str | None, args: argparse.Namespace, run: RunRecord) -> Input:
    config = run.config
    data, model = dict(config["data"]), dict(config["model"])
    if path is not None:
        if not path.startswith("tfds:"):
            data.update(data_dir=None)  # what is named here is where the user is, not where the training's data was
        data.update(source=path, binarization=args.binarization or data["binarization"])
    if args.label is not None:
        model.update(num_classes=0)  # the source need not know the classes
    dataset = open_dataset({"data": data, "model": model}, args.data_dir, run.classes)
    split = args.split or dataset.final_split
    return Input(f"{data['source']}, {split}", dataset.names(split), *dataset.examples(split))


def _input_of_file(path: str, run: RunRecord, *, as_it_is: bool) -> Input:
    """Images, see `read_input`, with the labels and contexts of an npz file; or with themselves in grey as contexts."""
    model = run.model
    form = PictureForm(lossless=True) if as_it_is else _form_of_training(run)
    images = read_input(path, levels=model.levels, channels=model.channels, form=form)
    names = [file.name for file in input_files(path)] or [str(number) for number in range(len(images))]
    given = read_given(path) if is_npz(path) else UNCONDITIONAL
    given = Conditions(given.context if model.context_channels else None, given.labels if model.num_classes else None)
    if run.data.context == "grey":
        given = given._replace(context=grey(images))
    return Input(path, names, images, given)


def _form_of_training(run: RunRecord) -> PictureForm:
    """What makes of pictures what the training made of its own."""
    data = run.data
    return PictureForm(size=data.size, source_levels=(data.source_levels or 256) if data.quantize else None)


def _checked(model: ModelConfig, conditions: Conditions, shape: tuple[int, int, int]) -> Conditions:
    """The conditions, if the model can take them; those from files have any type of integers."""
    check_conditions(model, conditions, shape)
    return plain(model, conditions)


def _check_given(name: str, model: ModelConfig, conditions: Conditions) -> None:
    """Raises `InputError` if there is nothing where the model must be given something, and tells where it may come from."""
    if model.num_classes and conditions.labels is None:
        raise InputError(
            f"the model is class-conditional: {name} must be an npz file that holds the classes as the array `labels`; or name"
            " a data source that knows them, such as folder:PATH, or give --label."
        )
    if model.context_channels and conditions.context is None:
        raise InputError(
            f"the model draws images given others: {name} must be an npz file that holds them as the array `context`."
        )
