"""A new model's parameters, their names and shapes, and the check that parameters have them."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import value_type
from pixel_rnn_jax.models.conditioning import blank_conditions


@functools.partial(jax.jit, static_argnums=0)  # traced once for each model
def init_params(model: nn.Module, key: jax.Array) -> Any:
    """The parameters of a new model. They do not depend on the size of images."""
    shape = (1, model.config.multiple, model.config.multiple)
    images = jnp.zeros((*shape, model.config.channels), value_type(model.config.levels))
    return model.init(key, images, **blank_conditions(model.config, shape)._asdict())["params"]


def abstract_params(model: nn.Module) -> Any:
    """Shapes and types of a model's parameters on the default device, without computing them."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), _traced_params(model))


def _traced_params(model: nn.Module) -> Any:
    return init_params.eval_shape(model, jax.random.key(0))


def check_params(model: nn.Module, params: Any) -> None:
    """Raises `InputError` unless parameters have the model's names and shapes. Flax itself ignores superfluous ones."""
    expected, found = parameter_shapes(model), _shapes(params)
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            must, is_ = (f"of shape {shapes[name]}" if name in shapes else "absent" for shapes in (expected, found))
            raise InputError(f"params must be the parameters of {model.config}: {name} must be {must}; it is {is_}.")


def parameter_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter by its path, such as "layers/row_lstm/up/kernel"."""
    return _shapes(_traced_params(model))


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in leaves}
