"""Configurations: Python files with a function `get_config()`, and overrides of their fields."""

import difflib
import re
import runpy
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict, config_flags

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.training.config import base_config, shipped_configs


def read_config(path: str, overrides: Sequence[str]) -> ConfigDict:
    """Reads a configuration, applies overrides to it, and locks it.

    Args:
      path: a Python file with a function `get_config()`, or the name of a shipped configuration ("digits_rowlstm").
      overrides: arguments "--config.FIELD=VALUE".

    Raises:
      InputError: if there is no such file, a field is unknown, or a value has the wrong type.
    """
    shipped = shipped_configs()
    file = Path(path) if Path(path).is_file() else shipped.get(path)
    if file is None:
        raise InputError(f"--config must be a file or one of {', '.join(shipped)}; got {path!r}.")
    config = _load(file)
    _check_arguments(overrides, _field_names(config))
    argv, values = ["", *overrides], flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        _, *unknown = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{error}.") from None
    if unknown:
        raise InputError(f"unknown arguments {' '.join(unknown)}.")
    return values.config


def share_training_among_cores(config: ConfigDict) -> None:
    """`share_among_cores` for the batches of a configuration, unless it names a mesh; must come before JAX is used."""
    if config.mesh.data == -1 and config.mesh.fsdp == 1:
        share_among_cores(config.batch_size, microbatches=max(config.gradient_accumulation, 1))


def _load(file: Path) -> ConfigDict:
    """The configuration in a file, which must have the fields of the base."""
    try:
        module = runpy.run_path(str(file))
        config = module["get_config"]() if "get_config" in module else None
    except Exception as error:  # whatever the file raises
        raise InputError(f"{file.name}: {type(error).__name__}: {error}") from None
    fields = _field_names(config) if isinstance(config, ConfigDict) else []
    base = _field_names(base_config())
    for verb, names in (("lacks", set(base) - set(fields)), ("adds", set(fields) - set(base))):
        if names:
            names = ", ".join(sorted(names)) if fields else "all fields"
            raise InputError(f"{file.name}: get_config() must return base_config() with changes; it {verb} {names}.")
    return config


def _field_names(config: ConfigDict) -> list[str]:
    """The names of all fields, such as "num_steps" and "model.depth"."""
    return list(flatten_dict(config.to_dict(), sep="."))


def _check_arguments(arguments: Iterable[str], fields: Sequence[str]) -> None:
    """Raises `InputError` for a flag that overrides no field; its message names the field that may be meant."""
    known = {field.rpartition(".")[2]: field for field in reversed(fields)} | {field: field for field in fields}
    for argument in arguments:
        flag = re.match(r"--?((?:no)?config\.)?([a-z][^=]*)", argument)
        if not flag or (flag[1] and flag[2] in fields):
            continue
        near = difflib.get_close_matches(flag[2], known, n=1, cutoff=0.75 if flag[1] else 1.0)
        if near:
            raise InputError(f"unknown argument {argument}; did you mean --config.{known[near[0]]}?")
        if not flag[1]:
            raise InputError(f"unknown argument {argument}.")
        section = flag[2].rpartition(".")[0]
        siblings = [field for field in fields if field.rpartition(".")[0] == section] or fields
        raise InputError(f"unknown argument {argument}; the fields are {', '.join(siblings)}.")
