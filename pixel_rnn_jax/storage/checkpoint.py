"""Checkpoints of a training run, by Orbax: parameters, optimizer state, and the record of the run.

A work directory holds `checkpoints/STEP/` with the items

    ema     the averaged parameters, which evaluation and sampling use
    state   step, parameters and optimizer state; the step is also the position in the data
    run     JSON of a `RunRecord`

A checkpoint is written in the background into a temporary folder, which is renamed when it is complete. At gs://, where
folders cannot be renamed, a file commit_success.txt marks a complete one. The latest three and the best are kept.
"""

import contextlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from pixel_rnn_jax.errors import InputError, one_line
from pixel_rnn_jax.parallel.distributed import on_main
from pixel_rnn_jax.paths import AnyPath, absolute, as_path, is_folder, move_folder, reaching
from pixel_rnn_jax.storage.run_record import RunRecord

FOLDER = "checkpoints"
ASIDE = "damaged_checkpoints"
LATEST = 3
# In TensorStore's errors: the storage cannot be reached, which does not mean damage.
UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNAUTHENTICATED", "ABORTED")


def latest_config(workdir: str | AnyPath) -> dict[str, Any]:
    """The configuration of the run in a work directory, by its newest readable checkpoint.

    Orbax is not asked: it would start JAX, whose devices may depend on the configuration.
    """
    folder = as_path(workdir) / FOLDER
    names = [path.name for path in folder.glob("*")] if is_folder(folder) else []  # in this order: it raises if gs:// is away
    for step in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        with contextlib.suppress(OSError, ValueError), reaching(folder):
            return RunRecord.from_json(json.loads((folder / str(step) / "run" / "metadata").read_text())).config
    raise InputError(f"{workdir} holds no checkpoint to go on from; --config starts a training there.")


class DamagedCheckpoint(InputError):
    """A checkpoint that cannot be read."""


class Checkpoints:
    """The checkpoints of one work directory; a context manager that waits for the last save at its end.

    All processes of a training save and restore together, each its part of the arrays.
    """

    def __init__(self, workdir: str | AnyPath, *, read_only: bool = False):
        self.directory = absolute(workdir) / FOLDER
        if not is_folder(self.directory) and read_only:  # `is_folder` comes first: it raises if gs:// cannot be reached
            fault = f"it holds no {FOLDER}/" if is_folder(self.directory.parent) else "there is no such folder"
            raise InputError(f"{workdir} must be the work directory of a training run; {fault}.")
        self._kept = keep.AnyPreservationPolicy([keep.LatestN(LATEST)])
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
        with self._writing() if error is None else contextlib.suppress(Exception):  # the first error counts
            self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the checkpoint with the best validation score, or None.

        The record of the newest checkpoint names it. If it was lost, no other silently takes its place.
        """
        latest = self.latest_step
        return None if latest is None else self.restore_record(latest).validations.best_step or None

    def steps_before(self, step: int) -> list[int]:
        """Steps of the earlier checkpoints."""
        return sorted(earlier for earlier in self._manager.all_steps() if earlier < step)

    def set_aside(self, step: int) -> AnyPath:
        """Moves a checkpoint out of the way, in the main process, and returns its new place."""
        folder = self.directory.parent / ASIDE
        numbered = (folder / f"{step}_{number}" for number in itertools.count(1))
        aside = next(path for path in numbered if not is_folder(path))  # keeps earlier ones of the same step
        on_main(lambda: move_folder(self.path(step), aside))
        self._manager.reload()
        return aside

    def path(self, step: int) -> AnyPath:
        """The folder of a step's checkpoint."""
        return self.directory / str(step)

    def wait(self) -> None:
        """Waits until the last save is complete; raises `OSError` if it could not be written."""
        with self._writing():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of Orbax, TensorStore or the operating system, perhaps about an earlier save
            self._manager.reload()  # so that `latest_step` is of what was written
            raise OSError(f"a checkpoint cannot be written to {self.directory} ({one_line(error)})") from error

    def save(self, step: int, *, ema: Any, state: Any, record: RunRecord) -> None:
        """Saves a checkpoint in the background: two trees of arrays, and the record, whose best checkpoint is kept.

        Raises `OSError` if this checkpoint, or an earlier one, could not be written.
        """
        self._kept.policies = [keep.LatestN(LATEST), keep.CustomSteps([record.validations.best_step])]
        args = ocp.args.Composite(
            ema=ocp.args.StandardSave(ema),
            state=ocp.args.StandardSave(state),
            run=ocp.args.JsonSave(record.to_json()),
        )
        with self._writing():
            self._manager.save(step, args=args)

    def restore_record(self, step: int) -> RunRecord:
        """Reads what a checkpoint holds besides arrays; raises `DamagedCheckpoint` if it cannot be read."""
        value = self._restore(step, run=ocp.args.JsonRestore())["run"]
        with self._reading(step):
            record = RunRecord.from_json(value)
            if record.validations is None or "optimizer" not in record.config:
                raise ValueError("run/ lacks the validations or the optimizer")
        return record

    def restore_arrays(self, step: int, **like: Any) -> dict[str, Any]:
        """Reads items of a checkpoint: `restore_arrays(step, ema=tree, state=tree)`; raises `DamagedCheckpoint`.

        The trees are of `jax.ShapeDtypeStruct` with the expected shapes (and shardings).
        """
        return self._restore(step, **{name: ocp.args.StandardRestore(tree) for name, tree in like.items()})

    def _restore(self, step: int, **items: Any) -> dict[str, Any]:
        with self._reading(step):
            return dict(self._manager.restore(step, args=ocp.args.Composite(**items)))

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:  # of Orbax, TensorStore and json
            if any(reason in str(error) for reason in UNREACHABLE):
                raise InputError(f"the checkpoint {self.path(step)} cannot be read now ({one_line(error)}).") from error
            raise DamagedCheckpoint(f"the checkpoint {self.path(step)} is damaged ({one_line(error)}).") from error


def changed_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The fields in which two nested configurations differ, each as "name: old -> new"; `old` was read from JSON."""
    changes = []
    new = json.loads(json.dumps(new))  # which makes lists of tuples
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            changes += changed_fields(was, now, f"{prefix}{name}.")
        elif was != now:
            changes.append(f"{prefix}{name}: {json.dumps(was)} -> {json.dumps(now)}")
    return changes
