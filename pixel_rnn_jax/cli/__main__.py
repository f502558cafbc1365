"""All commands in one:  pixel-rnn COMMAND --FLAG=VALUE ...   (or: python -m experiments COMMAND ...)

    train       train a model, or go on with a training
    evaluate    the likelihood of a split
    score       the likelihood of each image
    sample      draw images
    complete    complete images
    compress    compress images without loss
    decompress  decode them
    export      write a trained model as one file
    curves      the course of trainings, as a picture
    baselines   scores that need no training
    ablation    the paper's Tables 2 and 3
    benchmark   how fast it is here
    costs       memory and arithmetic of a configuration

pixel-rnn COMMAND --help tells the flags of each; pixel-rnn --version tells the version.
"""

import importlib
import sys

from pixel_rnn_jax import __version__
from pixel_rnn_jax.cli import command

COMMANDS = (
    "train",
    "evaluate",
    "score",
    "sample",
    "complete",
    "compress",
    "decompress",
    "export",
    "curves",
    "baselines",
    "ablation",
    "benchmark",
    "costs",
)


def main() -> None:
    """Hands over to the command that the first argument names."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(__doc__.strip())
    elif name == "--version":
        print(__version__)
    elif name in COMMANDS:
        command.run(importlib.import_module(f"pixel_rnn_jax.cli.{name}").main, argv)
    else:
        sys.exit(f"error: the command must be one of {', '.join(COMMANDS)}; got {name!r}.")


if __name__ == "__main__":
    main()
