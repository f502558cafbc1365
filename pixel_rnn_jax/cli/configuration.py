"""Configurations: Python files with a function `get_config()`, and overrides of their fields."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.config import base_config, shipped_configs

OVERRIDE = re.compile(r"--?(?:no)?config\.([\w.]+)")


def read_config(path: str, overrides: Sequence[str]) -> ConfigDict:
    """Reads a configuration, applies overrides to it, and locks it.

    Args:
      path: of a Python file with a function `get_config()`; or the name of a shipped one ("digits_rowlstm").
      overrides: "--config.FIELD=VALUE" each.

    Raises:
      InputError: if there is no such file, a field is unknown, or a value has the wrong type.
    """
    shipped = shipped_configs()
    file = Path(path) if Path(path).is_file() else shipped.get(path)
    if file is None:
        raise InputError(f"--config must be a file or one of {', '.join(shipped)}; got {path!r}.")
    config, _ = _parse_config(file, [])
    _check_fields(config, overrides)
    config, unknown = _parse_config(file, overrides)
    if unknown:
        raise InputError(f"unknown arguments {' '.join(unknown)}.")
    base = base_config()
    missing = _missing_fields(config, base)
    wrong = f"lacks {', '.join(missing)}" if missing else ""
    if not missing and (extra := {*_field_names(config)} - {*_field_names(base)}):
        wrong = f"adds {', '.join(sorted(extra))}"
    if wrong:
        raise InputError(f"{file.name}: get_config() must return base_config() with changes; it {wrong}.")
    return config


def overridden_fields(overrides: Sequence[str]) -> set[str]:
    """The fields that overrides name, such as "model.depth"; their values may be arguments of their own."""
    found = (OVERRIDE.match(override) for override in overrides)
    return {name[1] for name in found if name}


def _parse_config(file: Path, overrides: Sequence[str]) -> tuple[Any, list[str]]:
    """What a configuration file returns, with overrides; and the arguments that are none."""
    argv = ["train", f"--config={file}", *overrides]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    try:
        _, *unknown = values(argv)
    except Exception as error:  # a value of the wrong type, or whatever the file raises
        raise InputError(f"{file.name}: {type(error).__name__}: {' '.join(map(str, error.args))}") from None
    return values.config, unknown


def _check_fields(config: ConfigDict, overrides: Sequence[str]) -> None:
    """Raises `InputError` if an argument is no override, or one of a field that is not in a configuration."""
    fields = _field_names(config) if isinstance(config, ConfigDict) else []
    for override in overrides:
        found = OVERRIDE.match(override)
        if override.startswith("--") and not found:
            name = override.removeprefix("--").partition("=")[0]
            meant = [field for field in fields if field.rpartition(".")[2] == name]
            hint = f"; did you mean --config.{meant[0]}?" if meant else "."
            raise InputError(f"unknown argument {override}{hint}")
        if found and found[1] not in fields:
            section, _, name = found[1].rpartition(".")
            of_section = [field for field in fields if field.rpartition(".")[0] == section] or fields
            near = difflib.get_close_matches(name, [field.rpartition(".")[2] for field in fields], n=1)
            meant = [field for field in (*of_section, *fields) if [field.rpartition(".")[2]] == near]
            hint = f"did you mean --config.{meant[0]}?" if meant else f"the fields are {', '.join(of_section)}."
            raise InputError(f"--config.{found[1]} is not a field; {hint}")


def _field_names(config: ConfigDict, prefix: str = "") -> list[str]:
    """The names of all fields, such as "num_steps" and "model.depth"."""
    names = []
    for name, value in config.items():
        names += _field_names(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else [prefix + name]
    return names


def _missing_fields(config: Any, like: ConfigDict, prefix: str = "") -> list[str]:
    if not isinstance(config, ConfigDict):
        return [prefix.removesuffix(".") or "all fields"]
    missing = [f"{prefix}{name}" for name in like if name not in config]
    for name, field in like.items():
        if isinstance(field, ConfigDict) and name in config:
            missing += _missing_fields(config[name], field, f"{prefix}{name}.")
    return missing
