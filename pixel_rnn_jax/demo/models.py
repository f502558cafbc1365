"""The models that the page offers, and what it does with each of them."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, UInt

import pixel_rnn_jax as prnn

FIRST = "mnist_diagonal_bilstm"  # the one that the page opens with
BATCHES = (1, 4, 16)  # numbers of images that programs are compiled for; other numbers are filled up to one of these
MAX_IMAGES = BATCHES[-1]


# Where the models are, by the names that visitors see; they see no paths.
_paths: dict[str, str] = {name: name for name in prnn.shipped_models()}


@functools.cache
def load(name: str) -> prnn.Pretrained:
    """A model by its name on the page; read once."""
    return prnn.from_pretrained(_paths[name])


def offered(workdirs: Sequence[str] = ()) -> list[str]:
    """The names of the models on the page: those of `workdirs`, then those that come with the package; each once.

    Raises:
      InputError: if the page cannot show a model of `workdirs`.
    """
    own = [named(path) for path in workdirs]
    for name in own:
        config = load(name).config
        if config.channels not in (1, 3) or config.context_channels:
            raise prnn.InputError(
                f"the page shows models of 1 or 3 channels that draw without other images; {name} has {config.channels}"
                f" channels and context_channels={config.context_channels}."
            )
    return list(dict.fromkeys([*own, *sorted(prnn.shipped_models(), key=lambda name: name != FIRST)]))


def named(path: str) -> str:
    """The name on the page of the model at a path: its last part, with a number if that is another model's name."""
    path = path.rstrip("/")
    last = path.rpartition("/")[-1]
    names = itertools.chain([last], (f"{last} ({number})" for number in itertools.count(2)))
    return next(name for name in names if _paths.setdefault(name, path) == path)


def read_all(workdirs: Sequence[str] = ()) -> None:
    """Reads all models and their test images, so that nobody waits for them later."""
    for name in offered(workdirs):
        examples(name)


def filled(count: int) -> int:
    """The number of images that a program is compiled for, of which `count` are wanted."""
    return next(batch for batch in BATCHES if batch >= count)


@functools.cache
def examples(name: str) -> UInt[np.ndarray, "N H W C"]:
    """Test images of a model; none, if they are not on this machine."""
    model = load(name)
    try:
        return model.examples()
    except prnn.InputError:
        return np.zeros((0, *model.image_shape), np.uint8)


def example(name: str, number: int) -> UInt[np.ndarray, "one H W C"]:
    """One of the test images, in turn; none, if there are none."""
    images = examples(name)
    return images[number % max(1, len(images)) :][:1]


def black(name: str) -> UInt[np.ndarray, "1 H W C"]:
    """A black image of a model."""
    model = load(name)
    return np.zeros((1, *model.image_shape), np.min_scalar_type(model.config.levels - 1))


def alike(name: str, other: str) -> bool:
    """Whether two models take the same images."""
    first, second = load(name), load(other)
    return (first.image_shape, first.config.levels) == (second.image_shape, second.config.levels)


def labels_of(model: prnn.Pretrained, label: str, count: int) -> Int32[np.ndarray, " count"] | None:
    """The chosen class (empty: none), once for each image; None for a model without classes.

    Raises:
      InputError: if a class must be chosen and is not.
    """
    if not model.config.num_classes:
        return None
    if not label:
        raise prnn.InputError("This model needs a class here: choose one at the top of the page.")
    return np.full(count, model.class_names.index(label), np.int32)


def likely_labels(model: prnn.Pretrained, label: str, images: UInt[np.ndarray, "N H W C"]) -> Int32[np.ndarray, " N"] | None:
    """The chosen class or, if none is chosen, the most probable class of each image."""
    if not label and model.config.num_classes:
        found = model.classify(prnn.to_picture(images, model.config.levels))
        return found.log_probs.argmax(1).astype(np.int32)
    return labels_of(model, label, len(images))


def labels_to_draw(model: prnn.Pretrained, label: str, count: int) -> Int32[np.ndarray, " count"] | None:
    """The chosen class of each image, or one class after the other."""
    if not label and model.config.num_classes:
        return np.arange(count, dtype=np.int32) % model.config.num_classes
    return labels_of(model, label, count)
