"""Flags of the command lines: the parser, flags that several commands have, and argparse types."""

import argparse
from collections.abc import Callable

from pixel_rnn_jax.cli.outputs import output_file, writable_file
from pixel_rnn_jax.data.config import BINARIZATIONS
from pixel_rnn_jax.errors import MAX_SEED
from pixel_rnn_jax.parallel.distributed import connect
from pixel_rnn_jax.storage.load import shipped_models

TO_TRAIN = "folder for checkpoints and metrics; a run in it is continued"
TRAINED = (
    "work directory of a training run, an exported file, or the name of a model that comes with the package:"
    f" {', '.join(shipped_models())}"
)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the paragraphs of the description, and shows the defaults of flags that have one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(HelpFormatter, self)._fill_text(part, width, indent) for part in text.split("\n\n"))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, []) and action.nargs != 0
        return super()._get_help_string(action) if has_default else action.help


def make_parser(name: str, description: str, *, workdir: str | None = TRAINED) -> argparse.ArgumentParser:
    """The parser of a command, with the flag --workdir.

    Args:
      name: of the command.
      description: the docstring of its module.
      workdir: help of --workdir; None: the command has no such flag.
    """
    parser = argparse.ArgumentParser(
        prog=f"pixel-rnn {name}", description=description, formatter_class=HelpFormatter, allow_abbrev=False
    )
    if workdir is not None:
        parser.add_argument("--workdir", required=True, help=workdir)
    return parser


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --config, for `configuration.read_config`."""
    parser.add_argument(
        "--config",
        required=True,
        help="configuration file, or the name of a shipped one; --config.FIELD=VALUE changes a field",
    )


def add_allow_config_change_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --allow_config_change, for `train`."""
    parser.add_argument(
        "--allow_config_change", action="store_true", help="continue a run although its configuration has changed"
    )


def add_process_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that join several processes, for `join_processes`."""
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="work with other processes, which JAX finds on Cloud TPU, SLURM and Open MPI",
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address of process 0, where JAX does not find the processes"
    )
    parser.add_argument("--num_processes", type=positive, help="number of processes, with --coordinator")
    parser.add_argument("--process", type=int, help="number of this process, from 0, with --coordinator")


def has_processes(args: argparse.Namespace) -> bool:
    """Whether the flags of `add_process_flags` name other processes."""
    return args.distributed or any(value is not None for value in (args.coordinator, args.num_processes, args.process))


def join_processes(args: argparse.Namespace, *, stop_together: bool = False) -> None:
    """Joins the other processes, if the flags name any; must come before JAX is used. See `connect`."""
    if has_processes(args):
        connect(args.coordinator, args.num_processes, args.process, stop_together=stop_together)


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --json, for `outputs.write_json`."""
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the figures to this file, as JSON")


def add_data_dir_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --data_dir, for `open_dataset`."""
    parser.add_argument("--data_dir", help="where the data is, if not where it was in training")


def add_drawing_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of commands that draw pixels."""
    parser.add_argument("--temperature", type=float, default=1.0, help="divisor of the logits")
    parser.add_argument("--batch_size", type=positive, default=100, help="images drawn at a time")
    parser.add_argument(
        "--animation",
        type=output_file(".gif", ".webp"),
        help="also write a GIF or WebP file of the images being drawn",
    )


def add_input_flags(
    parser: argparse.ArgumentParser,
    *,
    seed_of: str,
    num: str = "all by default",
    pictures: str = "prepared like those of the training",
) -> None:
    """Adds --input and the flags that go with it, for `inputs.open_input`."""
    parser.add_argument(
        "--input",
        metavar="PATH|SOURCE",
        help=f"a picture, a folder of pictures (they are {pictures}), an npy file, an npz file with the array `images`,"
        " or a data source such as tfds:fashion_mnist; by default the data of the training",
    )
    add_split_flag(parser)
    parser.add_argument(
        "--binarization", choices=BINARIZATIONS, help="of a data source in --input; by default that of the training"
    )
    add_label_flag(parser)
    parser.add_argument("--num", type=positive, help=f"number of images, picked at random; {num}")
    add_seed_flag(parser, seed_of)
    add_data_dir_flag(parser)


def add_label_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --label, of class-conditional models."""
    parser.add_argument("--label", help="class of all images, its number or name; by default that of each image in the data")


def add_split_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --split."""
    parser.add_argument(
        "--split", help="train, validation or test; by default test, or validation for data without a test split"
    )


def add_seed_flag(parser: argparse.ArgumentParser, seed_of: str) -> None:
    """Adds --seed, of a random key."""

    def seed(text: str) -> int:
        if not 0 <= int(text) <= MAX_SEED:
            raise argparse.ArgumentTypeError(f"{text} must be from 0 to {MAX_SEED}")
        return int(text)

    parser.add_argument("--seed", type=seed, default=0, help=f"of {seed_of}")


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


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return int(text)
