"""The models that the page offers, and what it does with each of them."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, UInt

import pixel_rnn_jax as prnn

FIRST = "mnist_diagonal_bilstm"  # the one that the page opens with
BATCHES = (1, 4, 16)  # numbers of images that programs are compiled for; other numbers are filled up to one of these
MAX_IMAGES = BATCHES[-1]


@functools.cache
def load(name: str) -> prnn.Pretrained:
    """A model by its name or path, which comes from whoever started the page; read once."""
    return prnn.from_pretrained(name)


def offered(workdirs: Sequence[str] = ()) -> list[str]:
    """The names of the models on the page: those of `workdirs`, then those that come with the package.

    Raises:
      InputError: if the page cannot show a model of `workdirs`.
    """
    for name in workdirs:
        config = load(name).config
        if config.channels not in (1, 3) or config.context_channels:
            raise prnn.InputError(
                f"the page shows models of 1 or 3 channels that draw without other images; {name} has {config.channels}"
                f" channels and context_channels={config.context_channels}."
            )
    return [*workdirs, *sorted(prnn.shipped_models(), key=lambda name: name != FIRST)]


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
