"""The state that a training starts with: a new one, or that of a checkpoint."""

import sys
from typing import Any

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.paths import AnyPath
from pixel_rnn_jax.storage.checkpoint import Checkpoints, DamagedCheckpoint, Record, changed_fields, restore_model
from pixel_rnn_jax.training.run import TrainingRun
from pixel_rnn_jax.training.step import TrainState


def start_or_resume(
    setup: TrainingRun,
    checkpoints: Checkpoints,
    *,
    init_from: str | AnyPath | None = None,
    allow_config_change: bool = False,
    fall_back: bool = False,
) -> tuple[TrainState, Record]:
    """The last state of the run that the work directory holds; if it holds none, the first state of a new one.

    Args:
      setup: of the run.
      checkpoints: of its work directory.
      init_from: work directory of another run, with whose last state a new one starts. Its validations do not count here.
      allow_config_change: go on although the configuration was another.
      fall_back: if the latest checkpoint is damaged, put it aside, say so, and go on from the one before.

    Raises:
      InputError: if the run that goes on had another configuration, or the last checkpoint is damaged or cannot be used.
    """
    while (step := checkpoints.latest_step) is not None:
        try:
            return _resume(setup, checkpoints, step, allow_config_change=allow_config_change)
        except DamagedCheckpoint as error:
            earlier = checkpoints.steps_before(step)
            if not earlier:
                raise
            if not fall_back:
                raise DamagedCheckpoint(f"{error} With --fall_back, training goes on from step {earlier[-1]}.") from None
            aside = checkpoints.set_aside(step)
            if is_main():
                print(f"{error} It is now {aside}; going on from step {earlier[-1]}.", file=sys.stderr)
    return (setup.init() if init_from is None else _last_state(setup, init_from)), Record()


def _last_state(setup: TrainingRun, workdir: str | AnyPath) -> TrainState:
    """The last state of another run."""
    with Checkpoints(workdir, read_only=True) as checkpoints:
        step = checkpoints.latest_step
        if step is None:
            raise InputError(f"{workdir} must be the work directory of a training run; it holds no complete checkpoint.")
        if step >= setup.config.num_steps:
            raise InputError(
                f"num_steps counts the steps of the run in {workdir} too: it must be more than {step}; got"
                f" {setup.config.num_steps}."
            )
        _check_state(setup, checkpoints.restore_run(step), checkpoints.path(step))
        return _restore(setup, checkpoints, step)


def _resume(
    setup: TrainingRun, checkpoints: Checkpoints, step: int, *, allow_config_change: bool
) -> tuple[TrainState, Record]:
    run = checkpoints.restore_run(step)
    if not allow_config_change:
        _check_config(setup, run, checkpoints)
    _check_state(setup, run, checkpoints.path(step))
    return _restore(setup, checkpoints, step), Record(**run["record"])


def _restore(setup: TrainingRun, checkpoints: Checkpoints, step: int) -> TrainState:
    like = setup.abstract_state
    arrays = checkpoints.restore_arrays(step, ema=like.ema, state=without_ema(like))
    return TrainState(ema=arrays["ema"], **arrays["state"])


def _check_config(setup: TrainingRun, run: dict[str, Any], checkpoints: Checkpoints) -> None:
    """Raises `InputError` unless a checkpoint's training was started with this configuration."""
    old, new = ({**config, "mesh": None} for config in (run["config"], setup.config.to_dict()))  # numbers do not depend on it
    changes = changed_fields(old, new)
    if changes:
        raise InputError(
            f"{checkpoints.directory.parent} holds a run of another configuration ({'; '.join(changes)})."
            " Use another work directory, or --allow_config_change to go on from its last checkpoint."
        )


def _check_state(setup: TrainingRun, run: dict[str, Any], path: AnyPath) -> None:
    """Raises `InputError` unless a checkpoint's state is one of this model and optimizer."""
    classes = run.get("classes")
    if classes != (setup.data.classes and list(setup.data.classes)):
        raise InputError(
            f"the classes of the data must be those that the run was started with, {classes}; got {setup.data.classes}."
        )
    saved_model = restore_model(run)
    if abstract_params(saved_model) != abstract_params(setup.model):
        raise InputError(f"{path} holds another model, {saved_model.config}; it cannot go on as this one.")
    optimizers = run["config"]["optimizer"]["name"], setup.config.optimizer.name
    if len(set(optimizers)) > 1:
        raise InputError(f"{path} holds the state of {optimizers[0]}; it cannot go on with {optimizers[1]}.")


def without_ema(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds beside the averaged parameters."""
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}
