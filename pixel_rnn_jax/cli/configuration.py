"""Configurations: Python files with a function `get_config()`, and overrides of their fields."""

import difflib
import re
import runpy
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict, config_flags

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.paths import AnyPath, as_path
from pixel_rnn_jax.storage.checkpoint import latest_config
from pixel_rnn_jax.training.config import base_config, shipped_configs

OVERRIDE = re.compile(r"--?(no)?config\.")


def read_config(path: str, overrides: Sequence[str]) -> ConfigDict:
    """Reads a configuration, applies overrides to it, and locks it.

    Args:
      path: a Python file with a function `get_config()`, or the name of a shipped configuration ("digits_rowlstm").
      overrides: arguments "--config.FIELD=VALUE".

    Raises:
      InputError: if there is no such file, a field is unknown, or a value has the wrong type.
    """
    shipped = shipped_configs()
    file = as_path(path) if as_path(path).is_file() else shipped.get(path)
    if file is None:
        raise InputError(f"--config must be a file or one of {', '.join(shipped)}; got {path!r}.")
    return _with_overrides(_load(file), overrides)


def config_of_run(workdir: str | AnyPath, overrides: Sequence[str]) -> ConfigDict:
    """The configuration of the run in a work directory, with overrides.

    Raises:
      InputError: if there is no run, or one of another version, or as for `read_config`.
    """
    config = base_config()
    try:
        config.update(latest_config(workdir))
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{workdir} holds a run of another version ({error}); give its --config.") from None
    return _with_overrides(config, overrides)


def describe_fields() -> str:
    """The names of all fields, a line or two for each part of the configuration."""
    fields = base_config().to_dict()
    parts = {name: ", ".join(flatten_dict(value, sep=".")) for name, value in fields.items() if isinstance(value, dict)}
    plain = ", ".join(name for name in fields if name not in parts)
    return "\n\n".join([plain, *(f"{name}.: {names}" for name, names in parts.items())])


def print_config(config: ConfigDict) -> None:
    """Prints a line for each field, which `--config.` in front makes a flag."""
    for name, value in flatten_dict(config.to_dict(), sep=".").items():
        print(f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")


def _with_overrides(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    argv, values = ["", *overrides], flags.FlagValues()
    try:
        if any(override.startswith("--") and not OVERRIDE.match(override) for override in overrides):
            raise KeyError  # absl would take its own flags, such as --flagfile
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        _, *unknown = values(argv)
    except (AttributeError, KeyError, flags.UnrecognizedFlagError):
        raise InputError(_unknown_field(overrides, list(flatten_dict(config.to_dict(), sep=".")))) from None
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(f"{error}.") from None
    if unknown:
        raise InputError(f"unknown arguments {' '.join(unknown)}.")
    return values.config


def _unknown_field(overrides: Sequence[str], fields: Sequence[str]) -> str:
    """Names the first override that is of no field, and the field that its user may have meant."""
    names = {override: re.sub(r"=.*|^--?(no)?(config\.)?", "", override, flags=re.DOTALL) for override in overrides}
    strange = [name for name in names if name.startswith("-") and not (OVERRIDE.match(name) and names[name] in fields)]
    override = (strange or list(names))[0]
    leaf = names[override].rpartition(".")[2]
    near = difflib.get_close_matches(leaf, [field.rpartition(".")[2] for field in fields], n=1, cutoff=0.75)
    meant = [field for field in fields if [field.rpartition(".")[2]] == near]
    hint = f"did you mean --config.{meant[0]}?" if meant else f"the fields are {', '.join(fields)}."
    return f"unknown argument {override}; {hint}"


def share_training_among_cores(config: ConfigDict) -> None:
    """`share_among_cores` for the batches of a configuration, unless it names a mesh; must come before JAX is used."""
    if config.mesh.data == -1 and config.mesh.fsdp == 1:
        share_among_cores(config.batch_size, microbatches=max(config.gradient_accumulation, 1))


def _load(file: Path) -> ConfigDict:
    """The configuration in a file, which must have the fields of the base."""
    try:
        config = runpy.run_path(str(file))["get_config"]()
        names = set(flatten_dict(config.to_dict(), sep="."))
    except Exception as error:  # whatever the file raises
        raise InputError(f"{file.name}: {type(error).__name__}: {error}") from None
    wrong = names ^ set(flatten_dict(base_config().to_dict(), sep="."))
    if wrong:
        raise InputError(
            f"{file.name}: get_config() must return base_config() with changes; it lacks or adds {sorted(wrong)}."
        )
    return config
