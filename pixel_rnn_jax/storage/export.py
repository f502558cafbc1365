"""Exported models: one safetensors file with the parameters and all that is needed to use them.

The tensors are the parameters (of a training run, the averaged ones), named by their path in the tree ("stem/kernel"), in
float32. The file's metadata has one field, "pixel_rnn_jax", a JSON object:

    version   1
    run       JSON of a `RunRecord`, with the card
    checksum  of the run and the tensors, which reveals damage

Reading a file executes nothing in it.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pixel_rnn_jax.compression.fingerprint import checksum
from pixel_rnn_jax.data import SOURCES, DataConfig
from pixel_rnn_jax.errors import InputError, check_size, damage_as
from pixel_rnn_jax.models.conditioning import blank_conditions, check_conditions
from pixel_rnn_jax.models.params import check_params
from pixel_rnn_jax.paths import AnyPath, as_path, is_remote, local_copy, write_whole
from pixel_rnn_jax.storage.card import make_card
from pixel_rnn_jax.storage.run_record import RunRecord

ENDING = ".safetensors"
FIELD = "pixel_rnn_jax"
VERSION = 1
BATCH_SIZE = 16  # with which commands score a model that was not trained by `train`


def save(
    path: str | Path,
    model: nn.Module,
    params: Any,
    size: Sequence[int] | Any,
    source: str = "",
    card: Mapping[str, str] | Any = None,
) -> None:
    """Writes a model, however it was trained, as one file. `load` reads it, and all commands take it as --workdir.

    Args:
      path: a local file whose name ends in .safetensors; it is replaced if it exists.
      model: a `PixelRNN` or a `MultiScalePixelRNN`; the names of its classes are saved too.
      params: in float32.
      size: height and width of the images it was trained on: the default size of samples.
      source: the images it was trained on, as in a configuration (`data.source`): commands score them by default.
      card: texts for the model's card, such as {"about": …, "test": …, "licence": …, "not_for": …}.

    Raises:
      InputError: (a ValueError) if the path, the size, the source or the card cannot be used, or the parameters are not the
        model's, in float32.
    """
    path = as_path(path)
    if is_remote(path) or path.suffix != ENDING or not path.parent.is_dir() or path.is_dir():
        raise InputError(f"path must be a file in an existing folder, and end in {ENDING}; got {str(path)!r}.")
    shape = (1, *check_size("size", size))
    check_conditions(model.config, blank_conditions(model.config, shape), shape)
    if source and source.partition(":")[0] not in SOURCES:
        raise InputError(f"source must be empty, or begin with one of {', '.join(SOURCES)}; got {source!r}.")
    check_params(model, params)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}
    if dtypes != {"float32"}:
        raise InputError(f"params must be of float32; got {', '.join(sorted(dtypes))}.")
    config = {
        "model": dataclasses.asdict(model.config),
        "data": dataclasses.asdict(DataConfig(source=source)),
        "batch_size": BATCH_SIZE,
    }
    record = RunRecord(config, (*shape[1:], model.config.channels), model.classes or None, card=check_card(card or {}))
    save_weights(path, params, record)


def check_card(card: Any) -> dict[str, str]:
    """Returns the texts of a card; raises `InputError` unless it maps names to texts."""
    if not isinstance(card, Mapping) or not all(isinstance(text, str) for text in (*card, *card.values())):
        raise InputError(f"card must map names to texts, such as {{'licence': 'CC0'}}; got {card!r}.")
    return dict(card)


def save_weights(path: Path, params: Any, record: RunRecord) -> None:
    """Writes a trained model as one file, with its card, and without folders of this machine."""
    record = record.portable()
    run = dataclasses.replace(record, card=make_card(record, params)).to_json()
    tensors = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    metadata = {"version": VERSION, "run": run, "checksum": _checksum(run, tensors)}
    write_whole(path, safetensors.numpy.save(tensors, {FIELD: json.dumps(metadata)}))


def read_weights(path: str | AnyPath) -> tuple[nn.Module, Any, RunRecord]:
    """Reads an exported model: the model, its parameters, and the record of its run."""
    file = local_copy(as_path(path))
    with file.open("rb"):  # raises if the file cannot be opened; safetensors would report it as missing
        pass
    with (
        damage_as(f"{path} must be an exported model; it is damaged, or no safetensors file"),
        safetensors.safe_open(file, framework="numpy") as content,
    ):
        metadata = _read_metadata(path, content.metadata())
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118, it is no mapping
    run = metadata.get("run")
    if metadata.get("checksum") != _checksum(run, tensors):
        raise InputError(f"the exported model {path} is damaged: its checksum is not that of its content.")
    params = flax.traverse_util.unflatten_dict(tensors, sep="/")
    try:
        record = RunRecord.from_json(run)
        model = record.make_model()
        check_params(model, params)
    except ValueError as error:
        raise InputError(f"the exported model {path} cannot be used: {error}") from None
    return model, jax.tree.map(jnp.asarray, params), record


def _read_metadata(path: str | AnyPath, fields: Mapping[str, str] | None) -> dict[str, Any]:
    """The JSON object in a file's metadata. It is read before any tensor: those of foreign files may be large."""
    if FIELD not in (fields or {}):
        raise InputError(f"{path} must be an exported model; its metadata lacks the field {FIELD!r}.")
    with damage_as(f"the exported model {path} is damaged: its metadata cannot be read"):
        metadata = json.loads(fields[FIELD])
        version = metadata["version"]
    if version != VERSION:
        raise InputError(f"{path} must be an exported model of version {VERSION}; got {version!r}.")
    return metadata


def _checksum(run: Any, tensors: Mapping[str, np.ndarray]) -> str:
    parts = [json.dumps(run, sort_keys=True)]
    for name, tensor in sorted(tensors.items()):
        parts.append(f"{name} {tensor.dtype} {tensor.shape} {checksum(tensor.tobytes(), 16).hex()}")
    return checksum("\n".join(parts).encode(), 16).hex()
