"""One object for use: a trained model that takes and returns pictures. All that it computes is done by the pure functions."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt
from PIL import Image
from scipy.special import log_softmax, logsumexp

from pixel_rnn_jax.data.dataset import Dataset
from pixel_rnn_jax.data.decode import MODES
from pixel_rnn_jax.data.given_pictures import read_given
from pixel_rnn_jax.data.image_set import take
from pixel_rnn_jax.data.sources.tfds import is_prepared
from pixel_rnn_jax.errors import MAX_SEED, InputError, check_integer
from pixel_rnn_jax.evaluation.classify import joint_log_probs, log_prior
from pixel_rnn_jax.generation.sampling import complete, sample
from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.likelihood import bits_per_dim, log_prob, log_probs
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.paths import AnyPath
from pixel_rnn_jax.storage.card import make_card
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.storage.run_record import RunRecord

PIXELS_AT_A_TIME = 2**16  # of a batch, at most
# The test images that come with the package, by the source that they are from.
SAMPLES = {"tfds:mnist": "samples:mnist", "tfds:binarized_mnist": "samples:mnist", "tfds:cifar10": "samples:cifar10"}


class Classification(NamedTuple):
    """The classes of pictures by Bayes' rule.

    Attributes:
      names: of each picture, the name of its most probable class.
      log_probs: log p(y | x) in nats [N, classes], the classes in the order of `class_names`.
    """

    names: list[str]
    log_probs: Float64[np.ndarray, "N classes"]


def from_pretrained(path: str | AnyPath) -> "Pretrained":
    """Loads a trained model as one object that takes and returns pictures.

    Args:
      path: as for `load`: a work directory, an exported file, or the name of a model that comes with the package.

    Raises:
      InputError: (a ValueError) if there is nothing of that name, or no usable model in it.
    """
    return Pretrained(*load_run(path))


class Pretrained:
    """A trained model for use: see `from_pretrained`.

    `pictures` are one or several of these: PIL images; paths of PNG, JPEG, WebP or TIFF files, or of folders of them; arrays
    [H, W], [H, W, C] or [N, H, W, C] of integers in [0, 256) or floats in [0, 1]. They are cut and reduced to `image_shape`
    and brought to the model's channels and levels as in training; a line on standard error says what was changed. The path of
    an npy or npz file is that of images in the model's levels. Where the pictures have more than 8 bits, so do the arrays.
    Results are in the order of the pictures, those of a folder in the order of their paths.

    Attributes:
      model: the Flax module, for the functions of the package.
      params: its parameters.
      config: its configuration.
      image_shape: (height, width, channels) of the images it was trained on.
      class_names: of a class-conditional model; the number of a class that has no name.
      card: what it is, what of, how it was trained, how well it scores, and what not to use it for: texts by name.
    """

    def __init__(self, model: nn.Module, params: Any, run: RunRecord):
        self.model, self.params, self._run = model, params, run
        self.config: ModelConfig = model.config
        self.image_shape: tuple[int, ...] = run.image_shape
        self.class_names: tuple[str, ...] = run.class_names
        self.card: dict[str, str] = make_card(run, params)

    def images(self, pictures: Any) -> UInt[np.ndarray, "N H W C"]:
        """Brings pictures to the model's size, channels and levels, for the functions of the package."""
        images, _, notes = read_given(pictures, self._run.picture_form())
        for line in notes:
            tell(line)
        return images

    def examples(self, num: int = 20) -> UInt[np.ndarray, "N H W C"]:
        """The first images, at most `num`, that the model is tested on; of MNIST and CIFAR-10, twenty come with the package.

        Raises:
          InputError: (a ValueError) if the data of the training is not on this machine.
        """
        num, data = check_integer("num", num, 1), self._run.data
        if data.source in SAMPLES:
            dataset = Dataset(dataclasses.replace(data, source=SAMPLES[data.source]), self.config, carve=False)
            images = dataset.images("train")  # their only split
        else:
            kind, _, name = data.source.partition(":")
            if kind == "tfds" and not is_prepared(name, data):
                raise InputError(f"the images of {data.source} are not on this machine; `pixel-rnn evaluate` downloads them.")
            dataset = Dataset(data, self.config, self._run.classes)
            images = dataset.images(dataset.final_split)
        return take(images, np.arange(min(num, len(images))))

    @property
    def validation_scores(self) -> Float64[np.ndarray, " M"]:
        """The bits/dim of up to 1,000 validation images, given their class if there are classes; empty if none were kept."""
        return bits_per_dim(-self._run.validation_scores[0], self.image_shape)

    def sample(
        self,
        num: int = 1,
        seed: int = 0,
        *,
        label: str | int | None = None,
        temperature: float = 1.0,
        size: Sequence[int] | None = None,
    ) -> list[Image.Image]:
        """Draws pictures by `sample`: of a class or, without a label, of one class after the other."""
        num = check_integer("num", num, 1)
        labels = self._labels(label, num)
        if labels is None and self.config.num_classes:
            labels = np.arange(num, dtype=np.int32) % self.config.num_classes
        size = self.image_shape[:2] if size is None else size
        return self._pictures(sample(self.model, self.params, _key(seed), num, size, temperature, labels=labels))

    def complete(
        self,
        picture: Any,
        box: Sequence[int],
        num: int = 1,
        seed: int = 0,
        *,
        label: str | int | None = None,
        temperature: float = 1.0,
    ) -> list[Image.Image]:
        """Draws the pixels inside a box of a picture anew, `num` times, by `complete`.

        Args:
          picture: one picture.
          box: top, left, bottom and right (exclusive) of the unknown rectangle, in pixels of the model's images.
          num: number of completions.
          seed: of the random key.
          label: name or number of the picture's class, for a class-conditional model.
          temperature: divides the logits.
        """
        self._check_label("complete", label)
        images, num = self.images(picture), check_integer("num", num, 1)
        if len(images) != 1:
            raise InputError(f"picture must be one picture; got {len(images)}.")
        known = outside_box("box", box, images.shape[1:3])
        images, labels = np.repeat(images, num, 0), self._labels(label, num)
        return self._pictures(complete(self.model, self.params, _key(seed), images, known, temperature, labels=labels))

    def log_prob(self, pictures: Any, label: str | int | None = None) -> Float[np.ndarray, " N"]:
        """The log-probability of each picture, in nats: log p(x | y) with a label, by `log_prob`; else log p(x).

        For a class-conditional model, p(x) is the sum of p(y) p(x | y) over its classes.
        """
        return self._log_prob(self.images(pictures), label)

    def bits_per_dim(self, pictures: Any, label: str | int | None = None) -> Float[np.ndarray, " N"]:
        """The negative of `log_prob` in bits per sub-pixel."""
        images = self.images(pictures)
        return bits_per_dim(self._log_prob(images, label), images.shape[1:])

    def surprise(self, pictures: Any, label: str | int | None = None) -> Float32[np.ndarray, "N H W C"]:
        """The nats of each sub-pixel, given those before it: where a picture is unexpected. The negative of `log_probs`."""
        self._check_label("surprise", label)
        return -self._map(log_probs, self.images(pictures), label)

    def classify(self, pictures: Any) -> Classification:
        """The most probable class of each picture and log p(y | x) of all, by Bayes' rule, for a class-conditional model."""
        if not self.config.num_classes:
            raise InputError("only a class-conditional model classifies; this one has num_classes=0.")
        posterior = log_softmax(self._joint(self.images(pictures)), axis=1)
        return Classification([self.class_names[number] for number in posterior.argmax(1)], posterior)

    def _log_prob(self, images: UInt[np.ndarray, "N H W C"], label: str | int | None) -> Float[np.ndarray, " N"]:
        if self.config.num_classes and label is None:
            return logsumexp(self._joint(images), axis=1)
        return self._map(log_prob, images, label)

    def _joint(self, images: UInt[np.ndarray, "N H W C"]) -> Float64[np.ndarray, "N classes"]:
        """log p(x | y) + log p(y) of each class y."""
        prior = class_prior(self._run)
        return joint_log_probs(lambda label: self._map(log_prob, images, label), prior)

    def _map(
        self, function: Callable[..., Any], images: UInt[np.ndarray, "N H W C"], label: str | int | None
    ) -> Float32[np.ndarray, "N ..."]:
        """`log_prob` or a function like it of all images, in batches of one shape: the last one is padded."""
        count, (height, width, _) = len(images), images.shape[1:]
        # A power of two, which microbatches divide.
        at_most = 1 << max(0, (PIXELS_AT_A_TIME // (height * width)).bit_length() - 1)
        size = min(count, at_most)
        labels, results = self._labels(label, size), []
        for first in range(0, count, size):
            batch = images[np.minimum(np.arange(first, first + size), count - 1)]
            results.append(np.asarray(function(self.model, self.params, batch, labels=labels)))
        return np.concatenate(results)[:count]

    def _labels(self, label: str | int | None, num: int) -> np.ndarray | None:
        """The number of a class, once for each of `num` images."""
        if self.config.context_channels:
            raise InputError("the model draws images given others: use `load` and the functions, which take `context`.")
        return None if label is None else np.full(num, self._run.label_number("label", label), np.int32)

    def _check_label(self, method: str, label: str | int | None) -> None:
        if label is None and self.config.num_classes:
            raise InputError(f"{method} needs the label of the pictures, one of {', '.join(self.class_names)}; got None.")

    def _pictures(self, images: Any) -> list[Image.Image]:
        if self.config.channels not in MODES:
            raise InputError(
                f"pictures have 1 (grey), 3 or 4 channels; the model has {self.config.channels}: use its functions."
            )
        pixels = to_picture(np.asarray(images), self.config.levels)
        return [Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture) for picture in pixels]


def class_prior(run: RunRecord) -> Float64[np.ndarray, " classes"]:
    """log p(y) from the training images of each class; equal, and a line says so, if the run has not kept how many."""
    if run.class_counts is None:
        tell("the model has not kept how many training images each class had: all classes are taken as equally likely")
    return log_prior(np.array(run.class_counts or [0] * run.model.num_classes))


def outside_box(field: str, box: Any, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels outside a box: top, left, bottom, right (exclusive). Raises `InputError`, which names the field."""
    height, width = size
    sides = np.ravel(box)
    are_pixels = len(sides) == 4 and sides.dtype.kind in "iu"
    if not are_pixels or not (0 <= sides[0] < sides[2] <= height and 0 <= sides[1] < sides[3] <= width):
        got = ",".join(map(str, sides.tolist()))
        raise InputError(f"{field} must be TOP,LEFT,BOTTOM,RIGHT within images of {height}x{width} pixels; got {got}.")
    top, left, bottom, right = sides
    known = np.ones(size, bool)
    known[top:bottom, left:right] = False
    return known


def _key(seed: int) -> jax.Array:
    return jax.random.key(check_integer("seed", seed, 0, MAX_SEED))
