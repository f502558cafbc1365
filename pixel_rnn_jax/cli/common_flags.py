"""Flags of every command: --plugin, and --compilation_cache."""

import argparse
import hashlib
import os
import runpy
from collections.abc import Sequence
from pathlib import Path

import jax

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.hardware import processor
from pixel_rnn_jax.paths import as_path, cache_folder


def apply(argv: Sequence[str]) -> list[str]:
    """Does what the flags of every command say; returns the other arguments. Must come before JAX compiles anything."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--plugin", action="append", default=[], type=as_path)
    parser.add_argument("--compilation_cache")
    args, others = parser.parse_known_args(argv)
    for plugin in args.plugin:
        if not plugin.is_file():
            raise InputError(f"--plugin=FILE must name a Python file; got {str(plugin)!r}.")
        runpy.run_path(str(plugin), run_name=plugin.stem)
    _keep_compiled_programs(args.compilation_cache)
    return others


def _keep_compiled_programs(folder: str | None) -> None:
    """Switches on JAX's persistent compilation cache, unless the flag or JAX's own settings switch it off or name another.

    Each kind of processor has a folder of its own: home directories are shared, and XLA compiles for the processor at hand.
    """
    if folder is None:
        if os.environ.get("JAX_COMPILATION_CACHE_DIR") is not None:
            return
        kind = hashlib.blake2b(processor().encode(), digest_size=4).hexdigest()
        folder = str(Path(cache_folder()) / "compiled" / kind)
        jax.config.update("jax_compilation_cache_max_size", 2**30)  # the programs used longest ago are removed
    jax.config.update("jax_enable_compilation_cache", folder != "off")
    if folder != "off":
        jax.config.update("jax_compilation_cache_dir", str(as_path(folder)))
