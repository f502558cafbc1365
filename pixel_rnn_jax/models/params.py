"""A model's parameters: their names and shapes, and whether given ones are they."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.conditioning import CONTEXT_LAYERS, blank_conditions


def abstract_params(model: nn.Module) -> Any:
    """Shapes and types of a model's parameters, without computing them; on the default device."""
    shape = (1, model.config.multiple, model.config.multiple)
    images = jax.ShapeDtypeStruct((*shape, model.config.channels), jnp.uint8)
    init = functools.partial(model.init, **blank_conditions(model.config, shape)._asdict())
    params = jax.eval_shape(init, jax.random.key(0), images)["params"]
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), params)


def check_params(model: nn.Module, params: Any) -> None:
    """Raises `InputError` unless parameters have the names and shapes of the model's: Flax would ignore what it does not need.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: arrays of any type, traced ones too.
    """
    expected, found = _shapes_of(model), _shapes(model, params)
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"params must be the parameters of {model.config}: {name} must be {_words(expected.get(name))};"
                f" it is {_words(found.get(name))}."
            )


@functools.cache
def _shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return _shapes(model, abstract_params(model))


def _shapes(model: nn.Module, params: Any) -> dict[str, tuple[int, ...]]:
    """Shapes by name, but for those of a map's weights, where the model may have been made with any map."""
    takes_maps = not model.config.context_channels and not model.config.sizes
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in leaves}
    return {name: shape for name, shape in names.items() if not (takes_maps and {*name.split("/")} & {*CONTEXT_LAYERS})}


def _words(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else f"of shape {shape}"
