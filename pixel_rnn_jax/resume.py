"""The state that a training starts with: a new one, or that of a checkpoint."""

import sys
from typing import Any

from pixel_rnn_jax.checkpoint import Checkpoints, DamagedCheckpoint, Record, abstract_params, changed_fields, restore_model
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.processes import is_main
from pixel_rnn_jax.setup import Setup
from pixel_rnn_jax.train_step import TrainState


def start_or_resume(
    setup: Setup, checkpoints: Checkpoints, *, allow_config_change: bool = False, fall_back: bool = False
) -> tuple[TrainState, Record]:
    """The first state of a new run, or the last state of the one that the work directory holds.

    Args:
      setup: of the run.
      checkpoints: of its work directory.
      allow_config_change: go on although the configuration was another.
      fall_back: if the latest checkpoint is damaged, put it aside, say so, and go on from the one before.

    Raises:
      InputError: if that run had another configuration, or its last checkpoint is damaged.
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
    return setup.init(), Record()


def _resume(setup: Setup, checkpoints: Checkpoints, step: int, *, allow_config_change: bool) -> tuple[TrainState, Record]:
    run = checkpoints.restore_run(step)
    _check_config(setup, run, checkpoints, step, allow_config_change=allow_config_change)
    like = setup.abstract_state
    arrays = checkpoints.restore_arrays(step, ema=like.ema, state=without_ema(like))
    return TrainState(ema=arrays["ema"], **arrays["state"]), Record(**run["record"])


def _check_config(
    setup: Setup, run: dict[str, Any], checkpoints: Checkpoints, step: int, *, allow_config_change: bool
) -> None:
    """Raises `InputError` unless the training that a checkpoint holds can go on as the one that is asked for."""
    old, new = run["config"], setup.config.to_dict()
    for config in (old, new):
        config.pop("mesh", None)  # how arrays lie on devices; what is computed is the same
    changes = changed_fields(old, new)
    if changes and not allow_config_change:
        raise InputError(
            f"{checkpoints.directory.parent} holds a run of another configuration ({'; '.join(changes)})."
            " Use another work directory, or --allow_config_change to go on from its last checkpoint."
        )
    classes = run.get("classes")
    if classes != (setup.data.classes and list(setup.data.classes)):
        raise InputError(
            f"the classes of the data must be those that the run was started with, {classes}; got {setup.data.classes}."
        )
    saved_model = restore_model(run)
    if abstract_params(saved_model) != abstract_params(setup.model):
        raise InputError(f"{checkpoints.path(step)} holds another model, {saved_model.config}; it cannot go on as this one.")
    optimizers = old["optimizer"]["name"], new["optimizer"]["name"]
    if len(set(optimizers)) > 1:
        raise InputError(f"{checkpoints.path(step)} holds the state of {optimizers[0]}; it cannot go on with {optimizers[1]}.")


def without_ema(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds beside the averaged parameters."""
    return {"step": state.step, "params": state.params, "opt_state": state.opt_state}
