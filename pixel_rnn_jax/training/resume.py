"""The state that a training starts from: a new one, or that of a checkpoint."""

import dataclasses
import sys
from typing import Any

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.paths import AnyPath
from pixel_rnn_jax.storage.checkpoint import Checkpoints, DamagedCheckpoint, changed_fields
from pixel_rnn_jax.storage.run_record import RunRecord, Validations
from pixel_rnn_jax.training.config import TrainConfig
from pixel_rnn_jax.training.run import TrainingRun
from pixel_rnn_jax.training.step import TrainState


def start_or_resume(
    run: TrainingRun,
    checkpoints: Checkpoints,
    *,
    init_from: str | AnyPath | None = None,
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
            if not allow_config_change:
                _check_config(run, record, checkpoints)
            return _restore(run, checkpoints, step, record), record.validations
        except DamagedCheckpoint as error:
            earlier = checkpoints.steps_before(step)
            if not earlier:
                raise
            if not fall_back:
                raise DamagedCheckpoint(f"{error} With --fall_back, training goes on from step {earlier[-1]}.") from None
            aside = checkpoints.set_aside(step)
            if is_main():
                print(f"{error} It is now {aside}; training goes on from step {earlier[-1]}.", file=sys.stderr)
    return (run.init() if init_from is None else _last_state(run, init_from)), Validations()


def _last_state(run: TrainingRun, workdir: str | AnyPath) -> TrainState:
    """The last state of another run."""
    with Checkpoints(workdir, read_only=True) as checkpoints:
        step = checkpoints.latest_step
        if step is None:
            raise InputError(f"{workdir} must be the work directory of a training run; it holds no complete checkpoint.")
        if step >= run.config.num_steps:
            raise InputError(
                f"num_steps counts the steps of the run in {workdir} too: it must be more than {step}; got"
                f" {run.config.num_steps}."
            )
        return _restore(run, checkpoints, step, checkpoints.restore_record(step))


def _restore(run: TrainingRun, checkpoints: Checkpoints, step: int, record: RunRecord) -> TrainState:
    _check_state(run, record, checkpoints.path(step))
    like = run.abstract_state
    arrays = checkpoints.restore_arrays(step, ema=like.ema, state=without_ema(like))
    return TrainState(ema=arrays["ema"], **arrays["state"])


def with_defaults(old: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the fields that a later version has added, at their defaults."""
    added = {name: value for name, value in defaults.items() if name not in old}
    sections = {name: with_defaults(value, defaults.get(name, {})) for name, value in old.items() if isinstance(value, dict)}
    return old | added | sections


def _check_config(run: TrainingRun, record: RunRecord, checkpoints: Checkpoints) -> None:
    """Raises `InputError` unless a checkpoint's training was started with this configuration, on whatever mesh."""
    new = dataclasses.asdict(run.config)
    old = with_defaults(record.config, dataclasses.asdict(TrainConfig(model=record.model)))
    changes = changed_fields({**old, "mesh": None}, {**new, "mesh": None})
    if changes:
        raise InputError(
            f"{checkpoints.directory.parent} holds a run of another configuration ({'; '.join(changes)})."
            " Use another work directory, or --allow_config_change to go on from its last checkpoint."
        )


def _check_state(run: TrainingRun, record: RunRecord, path: AnyPath) -> None:
    """Raises `InputError` unless a checkpoint's state is one of this model and optimizer."""
    if record.classes != run.data.classes:
        raise InputError(
            f"the classes of the data must be those that the run was started with, {record.classes}; got {run.data.classes}."
        )
    if abstract_params(record.make_model()) != abstract_params(run.model):
        raise InputError(f"{path} holds another model, {record.model}; it cannot go on as this one.")
    optimizers = record.config["optimizer"]["name"], run.config.optimizer.name
    if len(set(optimizers)) > 1:
        raise InputError(f"{path} holds the state of {optimizers[0]}; it cannot go on with {optimizers[1]}.")


def without_ema(state: TrainState) -> dict[str, Any]:
    """The arrays of a checkpoint besides the averaged parameters."""
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}
