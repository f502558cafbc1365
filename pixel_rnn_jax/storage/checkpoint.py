"""Checkpoints of a training run, by Orbax: parameters, optimiser, record, configuration.

A work directory holds `checkpoints/STEP/` with the items

    ema     the averaged parameters, which evaluation and sampling use
    state   step, parameters and optimiser state; the step is also the position in the data
    run     JSON: the configuration, the images' shape, the names of the classes, the record of the validations so far

A checkpoint is written in the background into a temporary folder that gets its name when it is complete; at gs://, where a
folder cannot be renamed, a file commit_success.txt says so. The latest few and the best on validation are kept.
"""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import orbax.checkpoint as ocp
import tensorstore
from orbax.checkpoint.checkpoint_managers import preservation_policy

from pixel_rnn_jax.errors import InputError, one_line
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.parallel.distributed import on_main
from pixel_rnn_jax.paths import AnyPath, absolute, is_folder, is_remote, move_folder

FOLDER = "checkpoints"
ASIDE = "damaged_checkpoints"
LATEST = 3
# What TensorStore says of a storage that it cannot reach, which is no damage.
PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAUTHENTICATED", "ABORTED")


@dataclasses.dataclass
class Record:
    """The best validation score so far, and how long ago it was; what early stopping looks at.

    Attributes:
      best_nats: the lowest validation score, in nats.
      best_step: the step that reached it.
      stale: evaluations since.
    """

    best_nats: float = math.inf
    best_step: int = 0
    stale: int = 0

    def update(self, step: int, nats: float) -> bool:
        """Takes note of a validation score, and returns whether it is the best so far."""
        improved = nats < self.best_nats
        if improved:
            self.best_nats, self.best_step, self.stale = nats, step, 0
        else:
            self.stale += 1
        return improved

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` evaluations brought nothing; never, if `patience` is 0."""
        return 0 < patience <= self.stale


@dataclasses.dataclass
class LatestAndBest(preservation_policy.PreservationPolicy):
    """Which checkpoints Orbax keeps: the latest few, and the best on validation.

    Attributes:
      best_step: step of the best; 0: there is none.
    """

    best_step: int = 0

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Tells for each checkpoint, from the earliest on, whether it is kept."""
        latest = checkpoints[-LATEST:]
        return [checkpoint in latest or checkpoint.step == self.best_step for checkpoint in checkpoints]


class DamagedCheckpoint(InputError):
    """A checkpoint that cannot be read."""


class Checkpoints:
    """The checkpoints of one work directory; a context manager that waits for the last save before it leaves.

    All processes of a training save and restore together, each its part of the arrays.

    Args:
      workdir: the work directory.
      read_only: never write or delete anything.

    Raises:
      InputError: if the directory cannot be used.
    """

    def __init__(self, workdir: str | AnyPath, *, read_only: bool = False):
        self.directory = absolute(workdir) / FOLDER
        if not is_folder(self.directory) and read_only:  # looked at in any case: at gs://, it tells what cannot be reached
            raise InputError(f"{workdir} must be the work directory of a training run; it holds no {FOLDER}/.")
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(f"{self.directory} must be a folder of checkpoints; it is a file.")
        self._kept = LatestAndBest()
        options = ocp.CheckpointManagerOptions(
            create=not read_only, preservation_policy=self._kept, cleanup_tmp_directories=not read_only
        )
        try:
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.directory} is damaged, or cannot hold checkpoints ({one_line(error)}).") from None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        with self._writing() if error is None else contextlib.suppress(Exception):  # of two errors, the first one counts
            self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the checkpoint with the best validation score, or None.

        By the record of the newest, and not by what is there: if the best was lost, another must not silently stand for it.
        """
        latest = self.latest_step
        return None if latest is None else Record(**self.restore_run(latest)["record"]).best_step or None

    def steps_before(self, step: int) -> list[int]:
        """Steps of the earlier checkpoints."""
        return sorted(earlier for earlier in self._manager.all_steps() if earlier < step)

    def set_aside(self, step: int) -> AnyPath:
        """Moves a checkpoint out of the way, in the main process, and returns where it is then."""
        folder = self.directory.parent / ASIDE
        numbered = (folder / f"{step}_{number}" for number in itertools.count(1))
        aside = next(path for path in numbered if not is_folder(path))  # earlier ones of this step stay

        on_main(lambda: move_folder(self.path(step), aside))
        self._manager.reload()
        return aside

    def path(self, step: int) -> AnyPath:
        """Where the checkpoint of a step lies."""
        return self.directory / str(step)

    def wait(self) -> None:
        """Waits until the last save is complete.

        Raises:
          InputError: if it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever Orbax, TensorStore and the operating system raise, also of an earlier save
            self._manager.reload()
            step = self._manager.latest_step()
            last = "there is no complete one" if step is None else f"the last complete one is {self.path(step)}"
            raise InputError(f"a checkpoint cannot be written to {self.directory} ({one_line(error)}); {last}.") from error

    def save(self, step: int, *, ema: Any, state: Any, run: dict[str, Any], best_step: int) -> None:
        """Saves a checkpoint in the background.

        Args:
          step: number of finished training steps.
          ema: averaged parameters.
          state: everything else that training needs: a tree of arrays.
          run: what goes on from here and is not an array: configuration, image shape, record. JSON.
          best_step: step of the best checkpoint so far, which is kept: this one or an earlier one; 0: there is none.
        """
        self._kept.best_step = best_step
        args = ocp.args.Composite(
            ema=ocp.args.StandardSave(ema), state=ocp.args.StandardSave(state), run=ocp.args.JsonSave(run)
        )
        with self._writing():
            self._manager.save(step, args=args)

    def restore_run(self, step: int) -> dict[str, Any]:
        """Reads a checkpoint's JSON: configuration, image shape, record."""
        run = self._restore(step, run=ocp.args.JsonRestore())["run"]
        try:
            valid = {"model", "optimizer"} <= run["config"].keys() and "image_shape" in run
            Record(**run["record"])
        except (TypeError, KeyError, AttributeError):
            valid = False
        if not valid:
            raise DamagedCheckpoint(
                f"the checkpoint {self.path(step)} is damaged (run/ must hold configuration, image shape and record)."
            )
        return run

    def restore_arrays(self, step: int, **like: Any) -> dict[str, Any]:
        """Reads items of a checkpoint: `restore_arrays(step, ema=tree, state=tree)`.

        Args:
          step: which checkpoint.
          **like: for each item, a tree of `jax.ShapeDtypeStruct` of the shapes (and shardings) that are expected.

        Raises:
          InputError: if the checkpoint is damaged or holds other shapes.
        """
        # One process looks for damage: another one, that saw none, would wait for it in the restoring.
        on_main(lambda: [self._read_through(step, item) for item in like], raises=(DamagedCheckpoint, InputError))
        return self._restore(step, **{name: ocp.args.StandardRestore(tree) for name, tree in like.items()})

    def _read_through(self, step: int, item: str) -> None:
        # Orbax reads all arrays at the same time; when one is damaged, the others' threads print a traceback each, long after
        # the error reached us. So damage is looked for first, one array after the other; where that costs no network.
        if is_remote(self.directory):
            return
        database = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{self.path(step) / item}/"}}
        with self._reading(step):
            keys = tensorstore.KvStore.open(database).result().list().result()
            names = [key.decode().removesuffix(".zarray") for key in keys if key.endswith(b".zarray")]
            for name in names:
                array = {"driver": "zarr", "kvstore": {**database, "path": name}, "fill_missing_data_reads": False}
                tensorstore.open(array, open=True, read=True).result().read().result()
            if not names:
                raise ValueError(f"{item} holds no arrays")

    def _restore(self, step: int, **items: Any) -> dict[str, Any]:
        with self._reading(step):
            return dict(self._manager.restore(step, args=ocp.args.Composite(**items)))

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Turns what Orbax, TensorStore and json raise about files that are not what they should be into one error."""
        try:
            yield
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            if any(reason in str(error) for reason in PASSING):
                raise InputError(f"the checkpoint {self.path(step)} cannot be read now ({one_line(error)}).") from error
            raise DamagedCheckpoint(f"the checkpoint {self.path(step)} is damaged ({one_line(error)}).") from error


def restore_model(run: dict[str, Any], *, of: str = "the checkpoint") -> nn.Module:
    """The model of a checkpoint or of an exported file, from its JSON.

    Args:
      run: the JSON.
      of: what it was read from, for errors.

    Raises:
      InputError: if its fields are not those of a `ModelConfig`.
    """
    try:
        return make_model(ModelConfig(**run["config"]["model"]))
    except (TypeError, KeyError) as error:
        raise InputError(f"{of} has a model configuration that is damaged, or of another version ({error}).") from None


def changed_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The fields in which two nested configurations differ, each as "name: old -> new"."""
    changes = []
    new = json.loads(json.dumps(new))  # where tuples are lists, as in what was saved
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            changes += changed_fields(was, now, f"{prefix}{name}.")
        elif was != now:
            changes.append(f"{prefix}{name}: {json.dumps(was)} -> {json.dumps(now)}")
    return changes
