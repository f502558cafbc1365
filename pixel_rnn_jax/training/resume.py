"""The state that a training starts from: that of a checkpoint, or a new one."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.paths import AnyPath, as_path, is_folder
from pixel_rnn_jax.storage.checkpoint import Checkpoints, DamagedCheckpoint, changed_fields
from pixel_rnn_jax.storage.load import shipped_models
from pixel_rnn_jax.storage.run_record import RunRecord, Validations
from pixel_rnn_jax.training.config import TrainConfig
from pixel_rnn_jax.training.fine_tuning import state_with_params
from pixel_rnn_jax.training.run import TrainingRun
from pixel_rnn_jax.training.step import TrainState

SHOWN_CLASSES = 5  # in messages
# The fields on which the validation images depend.
WHICH_IMAGES = {"eval_images"} | {
    f"data.{name}"
    for name in ("source", "size", "source_levels", "quantize", "binarization", "context", "alpha", "skip_bad", "seed")
}


def start_or_resume(
    run: TrainingRun,
    checkpoints: Checkpoints,
    *,
    init_from: str | AnyPath | None = None,
    init_params: str | AnyPath | None = None,
    init_missing: bool = False,
    allow_config_change: bool = False,
    fall_back: bool = False,
) -> tuple[TrainState, Validations]:
    """The last state in a work directory's checkpoints, or the first state of a new run, and the validations so far.

    The options are those of `train`. The validations of the run `init_from` do not count here.

    Raises:
      InputError: if the configuration has changed, or the last checkpoint is damaged or cannot be used.
    """
    while (step := checkpoints.latest_step) is not None:
        try:
            record = checkpoints.restore_record(step)
            _check_config(run, record, checkpoints, allow_change=allow_config_change)
            # Scores on other images cannot be compared: the best checkpoint is then looked for anew.
            return _restore(run, checkpoints, step), record.validations if _same_images(run, record) else Validations()
        except DamagedCheckpoint as error:
            earlier = checkpoints.steps_before(step)
            if not earlier:
                raise
            if not fall_back:
                raise DamagedCheckpoint(f"{error} With --fall_back, training goes on from step {earlier[-1]}.") from None
            aside = checkpoints.set_aside(step)
            tell(f"{error} It is now {aside}; training goes on from step {earlier[-1]}.")
    if init_params is not None:
        state = state_with_params(run, init_params, init_missing=init_missing)
    else:
        state = run.init() if init_from is None else _last_state(run, init_from)
    return state, Validations()


def _last_state(run: TrainingRun, workdir: str | AnyPath) -> TrainState:
    """The last state of another run."""
    if not is_folder(as_path(workdir)) and (str(workdir) in shipped_models() or as_path(workdir).is_file()):
        raise InputError(
            "--init_from must be a work directory, which holds a step and an optimizer state; got a model that has neither."
            f" --init_params={shlex.quote(str(workdir))} starts with its parameters."
        )
    with Checkpoints(workdir, read_only=True) as checkpoints:
        step = checkpoints.latest_step
        if step is None:
            raise InputError(f"{workdir} must be the work directory of a training run; it holds no complete checkpoint.")
        if step >= run.config.num_steps:
            raise InputError(
                f"num_steps counts the steps of the run in {workdir} too: it must be more than {step}; got"
                f" {run.config.num_steps}."
            )
        _check_config(run, checkpoints.restore_record(step), checkpoints, allow_change=True)
        return _restore(run, checkpoints, step)


def _restore(run: TrainingRun, checkpoints: Checkpoints, step: int) -> TrainState:
    like = run.abstract_state
    arrays = checkpoints.restore_arrays(step, ema=like.ema, state=like.without_ema)
    return TrainState(ema=arrays["ema"], **arrays["state"])


def with_defaults(old: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the fields that a later version has added, at their defaults."""
    added = {name: value for name, value in defaults.items() if name not in old}
    sections = {name: with_defaults(value, defaults.get(name, {})) for name, value in old.items() if isinstance(value, dict)}
    return old | added | sections


def _same_images(run: TrainingRun, record: RunRecord) -> bool:
    """Whether a run validates on the images on which the validations of its record were made."""
    return WHICH_IMAGES.isdisjoint(change.partition(":")[0] for change in _changes(run, record))


def _changes(run: TrainingRun, record: RunRecord) -> list[str]:
    """The fields, besides the mesh, in which the configuration of a run differs from that of its record."""
    old = with_defaults(record.config, dataclasses.asdict(TrainConfig(model=record.model)))
    return changed_fields({**old, "mesh": None}, {**dataclasses.asdict(run.config), "mesh": None})


def _check_config(run: TrainingRun, record: RunRecord, checkpoints: Checkpoints, *, allow_change: bool) -> None:
    """Raises `InputError` unless a checkpoint's state can go on with this configuration, on whatever mesh.

    Without `allow_change`, the configuration must be the one with which its training was started.
    """
    directory, changes = checkpoints.directory.parent, _changes(run, record)
    parameters_differ = abstract_params(record.make_model()) != abstract_params(run.model)
    classes_differ = bool(run.config.model.num_classes) and record.classes != run.data.classes
    if classes_differ:
        changes.append(f"classes: {_some(record.classes)} -> {_some(run.data.classes)}")
    if parameters_differ or classes_differ or record.config["optimizer"]["name"] != run.config.optimizer.name:
        flags = f"--init_params={shlex.quote(str(directory))}{' --init_missing' * parameters_differ}"
        remedy = f"Its state does not fit; a new run, in another work directory, can start with its parameters: {flags}"
    elif changes and not allow_change:
        remedy = "Use another work directory, or --allow_config_change to go on from its last checkpoint."
    else:
        return
    raise InputError(f"{directory} holds a run of another configuration ({'; '.join(changes)}). {remedy}")


def _some(classes: Sequence[str] | None) -> str:
    """The names of the first classes."""
    return ", ".join((*classes[:SHOWN_CLASSES], *["…"] * (len(classes) > SHOWN_CLASSES))) if classes else "none"
