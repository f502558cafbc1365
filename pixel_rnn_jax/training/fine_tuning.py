"""Fine-tuning: a new training that starts with the parameters of a trained model."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.paths import AnyPath
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.training.run import StepRecipe
from pixel_rnn_jax.training.step import TrainState


def state_with_params(run: StepRecipe, path: str | AnyPath, *, init_missing: bool) -> TrainState:
    """The state before the first step of a new run, with the parameters of a trained model and a fresh optimizer.

    Args:
      run: the new run.
      path: of the trained model, as for `load`.
      init_missing: initialize parameters that the trained model lacks, or has in another shape, as in any new run.

    Raises:
      InputError: if there is no such model, if parameters differ without `init_missing`, or if all of them do.
    """
    _, trained, _ = load_run(path)
    new, old = (traverse_util.flatten_dict(params, sep="/") for params in (run.abstract_state.params, trained))
    fitting = {name: old[name] for name in new.keys() & old.keys() if old[name].shape == new[name].shape}
    unfit = sorted((new.keys() | old.keys()) - fitting.keys())
    differing = [f"{name}: {_shape(old.get(name))} -> {_shape(new.get(name))}" for name in unfit]
    if not fitting:
        raise InputError(f"{path} must have parameters of this model; none fits ({'; '.join(differing)}).")
    if differing and not init_missing:
        raise InputError(
            f"{path} must have the parameters of this model; these differ: {'; '.join(differing)}. With --init_missing, those"
            " of this model start as in any new run."
        )
    afresh = f", but for {'; '.join(differing)}" if differing else ""
    tell(f"starting with the parameters of {path}{afresh}")
    placed = {name: jax.device_put(np.asarray(leaf), new[name].sharding) for name, leaf in fitting.items()}
    state = run.init()  # a calm start changes only what is not replaced here
    params = traverse_util.unflatten_dict(traverse_util.flatten_dict(state.params, sep="/") | placed, sep="/")
    return state.replace(params=params, ema=jax.tree.map(jnp.copy, params))  # the optimizer's first state is the same for all


def _shape(array: Any) -> str:
    return "absent" if array is None else "x".join(map(str, array.shape)) or "1"
