"""Flags of the command lines: the parser, flags that several commands have, and argparse types."""

import argparse
from collections.abc import Callable
from typing import Any

from pixel_rnn_jax.cli.outputs import output_file, writable_file
from pixel_rnn_jax.data.config import ALPHAS, BINARIZATIONS
from pixel_rnn_jax.errors import MAX_SEED
from pixel_rnn_jax.parallel.distributed import connect
from pixel_rnn_jax.storage.load import shipped_models


def integers(form: str) -> Callable[[str], tuple[int, ...]]:
    """An argparse type: integers in a form such as "H,W"."""

    def parse(text: str) -> tuple[int, ...]:
        try:
            numbers = tuple(map(int, text.split(",")))
        except ValueError:
            numbers = ()
        if len(numbers) != form.count(",") + 1:
            raise argparse.ArgumentTypeError(f"{text!r} must be integers {form}")
        return numbers

    return parse


def image_size(text: str) -> tuple[int, ...]:
    """An argparse type: height and width, each of at least 1."""
    size = integers("H,W")(text)
    if min(size) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be integers of at least 1")
    return size


def picture_size(text: str) -> tuple[int, ...] | str:
    """An argparse type: like `image_size`, or "as-is"."""
    return text if text == AS_IS else image_size(text)


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return int(text)


def port(text: str) -> int:
    """An argparse type: the number of a port."""
    if not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} must be from 1 to 65535")
    return int(text)


def seed(text: str) -> int:
    """An argparse type: the seed of a random key."""
    if not 0 <= int(text) <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text} must be from 0 to {MAX_SEED}")
    return int(text)


AS_IS = "as-is"
SHARED: dict[str, dict[str, Any]] = {
    "--workdir": {
        "required": True,
        "help": "work directory of a training run, an exported file, or the name of a model that comes with the package:"
        f" {', '.join(shipped_models())}",
    },
    "--config": {
        "required": True,
        "help": "configuration file or name of a shipped one; --config.FIELD=VALUE changes a field",
    },
    "--allow_config_change": {"action": "store_true", "help": "continue a run although its configuration has changed"},
    "--input": {
        "metavar": "PATH|SOURCE",
        "help": "a picture, a folder of pictures, with all its subfolders (prepared like those of the training; `compress`"
        " takes them as they are), an npy file, an npz file with the array `images`, or a data source such as"
        " samples:mnist, samples:cifar10 or tfds:fashion_mnist; by default the data of the training",
    },
    "--size": {
        "type": picture_size,
        "metavar": "H,W|as-is",
        "help": "height and width to which pictures are cut and reduced, or as-is; by default those of the training",
    },
    "--skip_bad": {"action": "store_true", "help": "leave out and count the pictures that cannot be used"},
    "--alpha": {"choices": ALPHAS, "help": "what becomes of transparent pictures; by default as in training (data.alpha)"},
    "--split": {
        "help": "train, validation or test; by default test, or validation for data without a test split; of another data"
        " source in --input, all images"
    },
    "--binarization": {"choices": BINARIZATIONS, "help": "of a data source in --input; by default that of the training"},
    "--label": {"help": "class of all images, its number or name; by default that of each image in the data"},
    "--num": {"type": positive, "help": "number of images, picked at random; by default all, `complete`: 8"},
    "--seed": {"type": seed, "default": 0, "help": "of the random key and the choice of images"},
    "--data_dir": {"help": "where the data is, if not where it was in training"},
    "--temperature": {"type": float, "default": 1.0, "help": "below 1, images get more probable and alike"},
    "--batch_size": {"type": positive, "default": 100, "help": "images drawn at a time"},
    "--animation": {"type": output_file(".gif", ".webp"), "help": "also write a GIF or WebP file of the images being drawn"},
    "--json": {"type": writable_file, "metavar": "FILE", "help": "also write the figures to this file, as JSON"},
    "--distributed": {
        "action": "store_true",
        "help": "work with other processes, which JAX finds on Cloud TPU, SLURM and Open MPI",
    },
    "--coordinator": {"metavar": "HOST:PORT", "help": "address of process 0, where JAX does not find the processes"},
    "--num_processes": {"type": positive, "help": "number of processes, with --coordinator"},
    "--process": {"type": int, "help": "number of this process, from 0, with --coordinator"},
}
INPUT = ("--input", "--split", "--binarization", "--label", "--num", "--seed", "--data_dir", "--skip_bad", "--size", "--alpha")
DRAWING = ("--temperature", "--batch_size", "--animation")
PROCESSES = ("--distributed", "--coordinator", "--num_processes", "--process")  # for `join_processes`


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the paragraphs of the description, and shows the defaults of flags that have one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(HelpFormatter, self)._fill_text(part, width, indent) for part in text.split("\n\n"))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, []) and action.nargs != 0
        return super()._get_help_string(action) if has_default else action.help


def make_parser(name: str, description: str, *shared: str) -> argparse.ArgumentParser:
    """The parser of a command, with some of the `SHARED` flags; the description is the docstring of its module."""
    parser = argparse.ArgumentParser(
        prog=f"pixel-rnn {name}", description=description, formatter_class=HelpFormatter, allow_abbrev=False
    )
    add_shared(parser, *shared)
    return parser


def add_shared(parser: argparse.ArgumentParser, *shared: str) -> None:
    """Adds some of the `SHARED` flags to a parser."""
    for flag in shared:
        parser.add_argument(flag, **SHARED[flag])


def has_processes(args: argparse.Namespace) -> bool:
    """Whether the flags `PROCESSES` name other processes."""
    return args.distributed or any(value is not None for value in (args.coordinator, args.num_processes, args.process))


def join_processes(args: argparse.Namespace, *, stop_together: bool = False) -> None:
    """Joins the other processes, if the flags name any; must come before JAX is used. See `connect`."""
    if has_processes(args):
        connect(args.coordinator, args.num_processes, args.process, stop_together=stop_together)
