"""Exported models: one safetensors file with the parameters and all that is needed to use them.

The tensors are the averaged parameters, named by their path in the tree ("stem/kernel"), float32. The file's metadata has one
field, "pixel_rnn_jax", a JSON object:

    version   1
    run       the configuration, the images' shape, the names of the classes, the record of the validations
    checksum  of the run and the tensors, which tells damage

Nothing in it is executed when it is read.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pixel_rnn_jax.checkpoint import abstract_params, restore_model
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import AnyPath, as_path, local_copy
from pixel_rnn_jax.prnn_file import checksum

ENDING = ".safetensors"
FIELD = "pixel_rnn_jax"
VERSION = 1
RUN_FIELDS = ("config", "image_shape", "classes", "record")


def save_weights(path: str | AnyPath, params: Any, run: Mapping[str, Any]) -> None:
    """Writes a trained model as one file.

    Args:
      path: of the file, which is replaced if it exists.
      params: the averaged parameters.
      run: what a checkpoint holds besides arrays: the model's configuration is in it. The folder of the data, which is one
        of this machine, is left out.
    """
    run = copy.deepcopy({name: run.get(name) for name in RUN_FIELDS})
    run["config"]["data"]["data_dir"] = None
    tensors = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    metadata = {"version": VERSION, "run": run, "checksum": _checksum(run, tensors)}
    as_path(path).write_bytes(safetensors.numpy.save(tensors, {FIELD: json.dumps(metadata)}))


def read_weights(path: str | AnyPath) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Reads an exported model: the model, its parameters, and the run's record.

    Raises:
      InputError: if the file is damaged, or no exported model.
    """
    try:
        with safetensors.safe_open(local_copy(as_path(path)), framework="numpy") as file:
            text = (file.metadata() or {}).get(FIELD)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except FileNotFoundError:
        raise InputError(f"{path} must be an exported model; there is no such file.") from None
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} must be an exported model; it is damaged, or no safetensors file ({error}).") from None
    if text is None:
        raise InputError(f"{path} must be an exported model; its metadata lacks the field {FIELD!r}.")
    try:
        metadata = json.loads(text)
        version, run = metadata["version"], metadata["run"]
    except (KeyError, TypeError, json.JSONDecodeError):
        raise InputError(f"the exported model {path} is damaged: its metadata cannot be read.") from None
    if version != VERSION:
        raise InputError(f"{path} must be an exported model of version {VERSION}, which this package reads; got {version!r}.")
    if metadata.get("checksum") != _checksum(run, tensors):
        raise InputError(f"the exported model {path} is damaged: its checksum is not that of its content.")
    model = restore_model(run)
    params = flax.traverse_util.unflatten_dict(tensors, sep="/")
    if _shapes(params) != _shapes(abstract_params(model)):
        raise InputError(f"the exported model {path} has other parameters than {model.config}.")
    return model, jax.tree.map(jnp.asarray, params), run


def _checksum(run: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    parts = [json.dumps(run, sort_keys=True)]
    for name, tensor in sorted(tensors.items()):
        parts.append(f"{name} {tensor.dtype} {tensor.shape} {checksum(tensor.tobytes(), 16).hex()}")
    return checksum("\n".join(parts).encode(), 16).hex()


def _shapes(params: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
