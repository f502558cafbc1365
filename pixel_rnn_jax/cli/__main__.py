"""All commands in one: `pixel-rnn COMMAND --FLAG=VALUE ...`, or `python -m experiments COMMAND ...` in a checkout."""

import importlib
import sys
import textwrap
from collections.abc import Iterable

from pixel_rnn_jax import __version__
from pixel_rnn_jax.cli import command
from pixel_rnn_jax.data.sources import FORMS
from pixel_rnn_jax.storage.load import shipped_models
from pixel_rnn_jax.training.config import shipped_configs

COMMANDS = {
    "train": "train a model, or continue a training",
    "evaluate": "the likelihood of a split",
    "score": "the likelihood of each image",
    "classify": "the class of each image",
    "sample": "draw images",
    "complete": "complete images",
    "compress": "compress images without loss",
    "decompress": "decode compressed images",
    "export": "write a trained model as one file",
    "describe": "what a trained model is, and what it is for",
    "curves": "draw the learning curves of trainings",
    "baselines": "scores that need no training",
    "ablation": "the paper's Tables 2 and 3",
    "benchmark": "measure the speed on this machine",
    "costs": "memory and operations of a configuration",
    "demo": "open a page on which the models can be seen at work",
}


def _several(names: Iterable[str]) -> str:
    """Names in lines that are not too long."""
    return textwrap.fill(", ".join(names), 100, initial_indent="\n  ", subsequent_indent="  ", break_on_hyphens=False)


_LIST = "\n".join(f"  {name:12}{purpose}" for name, purpose in COMMANDS.items())
HELP = f"""usage: pixel-rnn COMMAND --FLAG=VALUE ...

Pixel Recurrent Neural Networks: train them, score, draw, complete and compress images with them.

commands:
{_LIST}

trained models, for --workdir:{_several(shipped_models())}

configurations, for `train --config`:{_several(shipped_configs())}

images: {FORMS}, or a file or folder in --input

pixel-rnn COMMAND --help shows the flags of a command, pixel-rnn --version the version.
Every command takes --plugin=FILE.py, which adds layers, outputs and data sources of your own, and --compilation_cache=FOLDER
(or off): by default, compiled programs are kept in ~/.cache/pixel_rnn_jax for the next start.
In a checkout, `python -m experiments.COMMAND` does the same."""


def main() -> None:
    """Runs the command that the first argument names."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        command.run(lambda _: print(HELP), [])
    elif name == "--version":
        command.run(lambda _: print(__version__), [])
    elif name in COMMANDS:
        command.run(importlib.import_module(f"pixel_rnn_jax.cli.{name}").main, argv)
    else:
        sys.exit(f"error: the command must be one of {', '.join(COMMANDS)}; got {name!r}.")


if __name__ == "__main__":
    main()
