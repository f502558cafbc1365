"""What a run remembers besides arrays: the record in its checkpoints and in exported models, as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Float64

from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.data.user_files import ImageForm
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.paths import as_path

# Of each image its nats, and its bits as a WebP file, or None if it cannot be such a file.
ImageScores = Sequence[Sequence[float | None]]


@dataclasses.dataclass(frozen=True)
class Validations:
    """The validations so far, as early stopping needs them."""

    best_nats: float = math.inf
    best_step: int = 0  # before the first validation
    stale: int = 0  # validations since the best
    image_scores: ImageScores = ()  # of at most 1,000 single images at the best step
    live_units: int = 0  # ReLU units that were above zero for some image of the best validation
    relu_units: int = 0  # all of them; 0 if they were not counted

    def __post_init__(self):
        object.__setattr__(self, "image_scores", tuple(map(tuple, self.image_scores)))  # JSON has lists

    def add(
        self, step: int, nats: float, image_scores: ImageScores = (), *, live_units: int = 0, relu_units: int = 0
    ) -> "Validations":
        """The validations including one more; it is the best if its step is the new `best_step`."""
        if nats < self.best_nats:
            return Validations(nats, step, image_scores=image_scores, live_units=live_units, relu_units=relu_units)
        return dataclasses.replace(self, stale=self.stale + 1)

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` validations brought no improvement; never, if `patience` is 0."""
        return 0 < patience <= self.stale


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What a run remembers besides arrays.

    The parts of its configuration, nested dicts, are read when they are needed: the data of a model from another version may
    be unreadable while the model is fine.
    """

    config: dict[str, Any]
    image_shape: tuple[int, ...]  # [H, W, C]
    classes: tuple[str, ...] | None = None  # their names by number
    validations: Validations | None = None  # None if the model was not trained by `train`
    class_counts: tuple[int, ...] | None = None  # training images of each class, which give the prior
    card: dict[str, str] | None = None  # of an exported model, see `card`

    @classmethod
    def from_json(cls, value: Any) -> "RunRecord":
        """Reads what `to_json` returned; raises `ValueError` if a part is missing, or is not what it must be."""
        try:
            classes, validations, counts = value.get("classes"), value.get("record"), value.get("class_counts")
            card = value.get("card")
            record = cls(
                dict(value["config"]),
                tuple(value["image_shape"]),
                None if classes is None else tuple(classes),
                None if validations is None else Validations(**validations),
                None if counts is None else tuple(map(int, counts)),
                None if card is None else dict(card),
            )
            dict(record.config["model"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a run's record must hold config, image_shape, classes and record; {error!r}") from None
        return record

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        validations = fields.pop("validations")
        return {**fields, "record": validations}

    @property
    def batch_size(self) -> int:
        return self.config["batch_size"]

    @property
    def data(self) -> DataConfig:
        """How the training read its data; raises `InputError` if that is of another version."""
        try:
            return DataConfig(**self.config["data"])
        except (TypeError, KeyError) as error:
            raise InputError(f"the run has a data configuration of another version ({error}).") from None

    @property
    def model(self) -> ModelConfig:
        """The configuration of the model; raises `InputError` if it is of another version."""
        try:
            return ModelConfig(**self.config["model"])
        except TypeError as error:
            raise InputError(f"the run has a model configuration that is damaged, or of another version ({error}).") from None

    @property
    def validation_scores(self) -> Float64[np.ndarray, "2 M"]:
        """The nats of the validation images whose scores are kept, and their bits as WebP files (NaN: it cannot be one)."""
        kept = self.validations.image_scores if self.validations else ()
        return np.array(kept, np.float64).reshape(-1, 2).T

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class; its number, where the data had no names."""
        names = self.classes or ()
        return *names, *map(str, range(len(names), self.model.num_classes))

    def label_number(self, field: str, label: str | int) -> int:
        """The number of the class that a user gives by name or number; raises `InputError`, which names the field."""
        num, names = self.model.num_classes, self.classes or ()
        if not num:
            raise InputError(f"{field} is for class-conditional models; this one has no classes. Got {label!r}.")
        if label in names:
            return names.index(label)
        if not str(label).isdecimal() or int(label) >= num:
            known = f" or one of {', '.join(names)}" if names else ""
            raise InputError(f"{field} must be a number in [0, {num}){known}; got {label!r}.")
        return int(label)

    def picture_form(self) -> ImageForm:
        """The form into which pictures are brought for the model, as in training."""
        model, data = self.model, self.data
        source_levels = data.source_levels or 256
        by_quantize = self.validations is None and model.levels < 256  # of a user's own training, which reads pictures so
        reduced = data.quantize or source_levels > 256 or by_quantize
        size = None if model.input == "embedding" else tuple(self.image_shape[:2])  # values without order cannot be averaged
        return ImageForm(model.levels, model.channels, size, source_levels if reduced else None, data.alpha)

    def make_model(self) -> nn.Module:
        return make_model(self.model, self.classes or ())

    def portable(self) -> "RunRecord":
        """The record without folders of this machine: of a data source's absolute path, the last name remains."""
        data = self.config["data"]
        kind, colon, path = data["source"].partition(":")
        path = as_path(path)
        source = f"{kind}:{path.name}" if colon and path.is_absolute() else data["source"]
        return dataclasses.replace(self, config={**self.config, "data": {**data, "data_dir": None, "source": source}})
