"""What all command lines share: flags, and errors in one line."""

import argparse
import atexit
import dataclasses
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pixel_rnn_jax.cli.outputs import output_file, writable_file, write_json
from pixel_rnn_jax.data import BINARIZATIONS, DataConfig, Dataset
from pixel_rnn_jax.errors import MAX_SEED, InputError
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import connect, is_main, num_cores
from pixel_rnn_jax.parallel.mesh import check_batch_size
from pixel_rnn_jax.storage.load import shipped_models
from pixel_rnn_jax.storage.run_record import RunRecord
from pixel_rnn_jax.training.preemption import Interrupted, ends_at_sigterm

TO_TRAIN = "folder for checkpoints and metrics; if it holds a run, that run goes on"
TRAINED = (
    "work directory of a training run, an exported file, or the name of a model that comes with the package:"
    f" {', '.join(shipped_models())}"
)
IMAGES_OF_A_CORE = 4  # at least, before another core is worth its while
PREEMPTED = 75  # exit status after SIGTERM: what had been done is kept, and the same command goes on; sysexits.h's "try again"


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Runs a command. What its user got wrong becomes one line on standard error, and an exit status other than 0.

    Args:
      main: the command.
      argv: its arguments; those of the process by default.
    """
    # Orbax reports every save by absl; the others report what we report as an error, with its traceback.
    for library in ("absl", "asyncio", "gcsfs"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.formatwarning = lambda message, *where: f"warning: {message}\n"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any encoding
    try:
        with ends_at_sigterm():
            main(argv)
    except (InputError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(
            "error: the memory is not enough. Smaller batches need less (batch_size); in training, so do batches in parts"
            " (gradient_accumulation), model.remat=True, and model.dtype=bfloat16."
        )
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        leave(PREEMPTED if interruption.signal == signal.SIGTERM else 128 + interruption.signal)
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        leave(128 + signal.SIGINT)


def leave(status: int) -> NoReturn:
    """Ends the process at once: XLA may go on compiling in threads of its own, and crash if Python ends before them."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def is_out_of_memory(error: MemoryError | jax.errors.JaxRuntimeError) -> bool:
    """Whether an error of Python or JAX says that the host's or a device's memory is not enough."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults of flags that have any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def make_parser(name: str, description: str, *, workdir: str | None = TRAINED) -> argparse.ArgumentParser:
    """A parser of a command's flags, with the one that nearly all have: --workdir, with this help."""
    parser = argparse.ArgumentParser(
        prog=f"pixel-rnn {name}",
        description=description,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    if workdir is not None:
        parser.add_argument("--workdir", required=True, help=workdir)
    return parser


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --config, for `configuration.read_config`."""
    parser.add_argument("--config", required=True, help="configuration file, or the name of a shipped one")


def add_allow_config_change_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --allow_config_change, for `train`."""
    parser.add_argument(
        "--allow_config_change", action="store_true", help="go on with a run although its configuration was another"
    )


def add_process_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what joins several processes, for `join_processes`."""
    parser.add_argument(
        "--distributed", action="store_true", help="work with other processes, found by JAX: on Cloud TPU, SLURM, Open MPI"
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where JAX does not find the processes")
    parser.add_argument("--num_processes", type=positive, help="how many there are")
    parser.add_argument("--process", type=int, help="number of this one, from 0")


def join_processes(args: argparse.Namespace, *, stop_together: bool = False) -> None:
    """Joins the other processes, if the flags say that there are any; before JAX is used. See `processes.connect`."""
    if is_one_of_several(args):
        connect(args.coordinator, args.num_processes, args.process, stop_together=stop_together)


def is_one_of_several(args: argparse.Namespace) -> bool:
    """Whether the flags say that there are other processes, so that none decides about devices alone."""
    return args.distributed or any(value is not None for value in (args.coordinator, args.num_processes, args.process))


def share_training_among_cores(config: ConfigDict) -> None:
    """`share_among_cores` for the batches of a configuration, unless it names a mesh; before JAX is used."""
    if config.mesh.data == -1 and config.mesh.fsdp == 1:
        share_among_cores(config.batch_size, parts=max(config.gradient_accumulation, 1))


def share_among_cores(batch_size: int | None, *, parts: int = 1) -> None:
    """Makes CPU devices of as many cores as can have equal shares of a batch; before JAX is used.

    Cores gain more by images of their own than by sharing each of the small products of a sweep. What the user has decided
    about CPU devices stays.

    Args:
      batch_size: images in a batch; None: as many as suit all cores.
      parts: into which each share is to be cut.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "") or jax.config.jax_num_cpu_devices != -1:
        return
    cores = num_cores()
    counts = range(cores, 1, -1)
    if batch_size is not None:
        counts = (count for count in counts if batch_size % (count * parts) == 0 and batch_size // count >= IMAGES_OF_A_CORE)
    jax.config.update("jax_num_cpu_devices", next(iter(counts), 1))


def scoring_batch_size(asked: int | None, run: RunRecord, mesh: Mesh) -> int:
    """How many images to score at a time: as many as --batch_size says; else about as many as in training, a few a device.

    Raises:
      InputError: if the devices do not divide what was asked for.
    """
    if asked is None:
        return next_multiple(max(run.batch_size, IMAGES_OF_A_CORE * mesh.size), mesh.size)
    check_batch_size(asked, mesh)
    return asked


def next_multiple(number: int, of: int) -> int:
    """The smallest multiple that is not smaller."""
    return -(-number // of) * of


def say(*words: str) -> None:
    """Prints a line, once: of several processes, one speaks."""
    if is_main():
        print(*words)


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --json, for `report` or `outputs.write_json`."""
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the figures to this file, as JSON")


def add_data_dir_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --data_dir, for `open_dataset`."""
    parser.add_argument("--data_dir", help="where the data is, if not where it was in training")


def add_drawing_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what all commands have that draw pixels."""
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the logits")
    parser.add_argument("--batch_size", type=positive, default=100, help="images that are drawn at a time")
    parser.add_argument(
        "--animation",
        type=output_file(".gif", ".webp"),
        help="also write a GIF or WebP file of the images being drawn",
    )


def add_input_flags(
    parser: argparse.ArgumentParser, *, seed_of: str, num: str = "all", pictures: str = "treated like those of the training"
) -> None:
    """Adds --input and what goes with it, for `inputs.open_input`."""
    parser.add_argument(
        "--input",
        metavar="PATH|SOURCE",
        help=f"a picture, a folder of pictures (they are {pictures}), an npy file, an npz file with the array `images`,"
        " or a data source such as tfds:fashion_mnist; the data of the training, if not given",
    )
    add_split_flag(parser)
    parser.add_argument(
        "--binarization", choices=BINARIZATIONS, help="of a data source that is named; that of the training, if not given"
    )
    add_label_flag(parser)
    parser.add_argument("--num", type=positive, help=f"number of images, picked at random; {num}, if not given")
    add_seed_flag(parser, seed_of)
    add_data_dir_flag(parser)


def add_label_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --label, of class-conditional models."""
    parser.add_argument(
        "--label", help="class of all images, its number or name; if not given, that of each image in the data"
    )


def add_split_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --split."""
    parser.add_argument("--split", help="train, validation or test; test, or validation where there is no test, if not given")


def add_seed_flag(parser: argparse.ArgumentParser, of: str) -> None:
    """Adds --seed, of a random key."""

    def seed(text: str) -> int:
        if not 0 <= int(text) <= MAX_SEED:
            raise argparse.ArgumentTypeError(f"{text} must be from 0 to {MAX_SEED}")
        return int(text)

    parser.add_argument("--seed", type=seed, default=0, help=f"of {of}")


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


def report(score: Score, data: DataConfig, path: Path | None, **more: Any) -> None:
    """Prints what was scored, then the score as the last line of standard output; with a path, writes it and more as JSON."""
    if path is not None:
        write_json(path, {**dataclasses.asdict(score), "source": data.source, "treatment": data.treatment, **more})
    print(f"{score.num_images} images of {data.source}, {data.treatment}")
    print(score)


def data_config(config: dict) -> DataConfig:
    """How the data of a run was read."""
    try:
        return DataConfig(**config["data"])
    except TypeError as error:
        raise InputError(f"the run has a data configuration of another version ({error}).") from None


def open_dataset(config: dict, data_dir: str | None = None, classes: Sequence[str] | None = None) -> Dataset:
    """The data that a run was trained on.

    Args:
      config: of the run.
      data_dir: where the data is now, if it was moved.
      classes: names of the model's classes, if they have names.
    """
    data = data_config(config)
    if not data.source:
        raise InputError(
            "the model was saved without a data source: name images with --input, to `score`, `complete` or `compress`."
        )
    if data_dir is not None:
        data = dataclasses.replace(data, data_dir=data_dir)
    return Dataset(data, ModelConfig(**config["model"]), classes)
