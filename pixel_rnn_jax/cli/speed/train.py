"""The speed of training:  python -m experiments.benchmark train --sweeps --out=speed

Measures the training step of each kind of layer on random images of MNIST's and CIFAR-10's sizes; the latter on a CPU with a
small model, else with the paper's. On a GPU or TPU several batches of each, up to the largest that fits in memory. Or the step
of a configuration: --config=imagenet64_rowlstm --size=64,64 --config.model.remat=True

Told are the times of compilation, of a step, and of likelihood and sampler for as many images; memory; and the operations of
the step, counted from the model's shapes, beside the rate of matrix products on this machine. --sweeps adds how the time grows
with batch, image, depth and h.
"""

import argparse
import functools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from pixel_rnn_jax.cli import command, configuration, outputs
from pixel_rnn_jax.cli.speed import report
from pixel_rnn_jax.cli.speed.machine import describe_machine, product_rate
from pixel_rnn_jax.cli.speed.step import Case, make_case, measure
from pixel_rnn_jax.models.config import DTYPES, LAYERS


class Sizes(NamedTuple):
    """Sizes at which each kind of layer is measured.

    Attributes:
      name: for the tables.
      config: a shipped configuration, whose layer is exchanged.
      size: height and width of the images.
      batch_sizes: images in a step.
      fields: of the model, where they are not the configuration's.
      sampler: whether to measure the sampler's speed too.
    """

    name: str
    config: str
    size: tuple[int, int]
    batch_sizes: tuple[int, ...]
    fields: dict[str, int]
    sampler: bool


MNIST = Sizes("MNIST", "mnist_diagonal_bilstm", (28, 28), (64,), {}, True)
CIFAR = Sizes("CIFAR-10, small", "cifar_rowlstm", (32, 32), (16,), {"depth": 4, "features": 32, "head_features": 64}, False)
ACCELERATOR_MNIST = MNIST._replace(batch_sizes=(64, 256, 1024))
ACCELERATOR_CIFAR = Sizes("CIFAR-10", "cifar_rowlstm", (32, 32), (16, 32, 64, 128, 256, 512), {}, False)

# Each starts from MNIST's sizes.
SWEEPS = {
    "batch_size": (8, 16, 32, 64, 128),
    "side": (8, 12, 18, 28, 42),
    "depth": (1, 2, 4, 7, 12),
    "features": (8, 16, 32, 64),
}
# Where so few images would leave the device idle.
ACCELERATOR_SWEEPS = SWEEPS | {"batch_size": (16, 64, 256, 1024), "features": (16, 32, 64, 128, 256)}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this measurement."""
    parser.add_argument(
        "--config", help="measure this configuration, a file or a shipped one; --config.FIELD=VALUE changes a field"
    )
    parser.add_argument("--size", type=command.image_size, metavar="H,W", help="height and width of its images")
    parser.add_argument("--sampler", action="store_true", help="measure the sampler with it, which may take long")
    parser.add_argument(
        "--layers", type=_layers, metavar="LAYER,...", help="kinds of layers, without --config; all, if not given"
    )
    parser.add_argument(
        "--sweeps", action="store_true", help="also from MNIST's sizes upwards and downwards, without --config"
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, help="if not given, the configuration's; without one, float32 on a CPU, else bfloat16"
    )
    parser.add_argument("--batch_size", type=command.positive, help="images in a step, if not the configuration's")
    parser.add_argument("--repeats", type=command.positive, default=5, help="steps of which the median counts")
    parser.add_argument(
        "--profile", action="store_true", help="also write a trace of some steps of each to DIR/profile, for xprof or Perfetto"
    )
    parser.add_argument(
        "--out", type=outputs.output_folder, metavar="DIR", help="also write train.json, train.md and sweeps.png"
    )


def _layers(text: str) -> tuple[str, ...]:
    unknown = set(text.split(",")) - set(LAYERS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))!r} must be of {', '.join(LAYERS)}")
    return tuple(layer for layer in LAYERS if layer in text.split(","))


def run(args: argparse.Namespace, overrides: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Measures, prints and writes.

    Args:
      args: the flags.
      overrides: fields of the configuration.
      parser: for errors.
    """
    _check_flags(args, parser)
    if args.config is None:
        command.share_among_cores(args.batch_size)
        cases = _cases(args)
    else:
        config = _read_config(args, overrides)
        command.share_training_among_cores(config)
        cases = [make_case(args.config, config, args.size, sampler=args.sampler)]
    model = cases[0].setup.model.config
    rate = functools.partial(product_rate, model.dtype, model.precision, args.repeats)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)  # now, and not after minutes of work
    _progress("matrix products")
    record = {
        "machine": describe_machine() | {"dtype": model.dtype},
        "product_gflop_per_second": {"before": rate() / 1e9},
        "entries": [],
        "sweeps": [],
    }
    report.begin(record)
    for case in cases:
        if args.profile:
            case = case._replace(profile=_folder_of_profile(args.out, case))
        record["entries"].append(_entry(case, args.repeats))
        report.show_entry(record)
        report.write(args.out, record)
    if args.sweeps:
        for sweep in _sweeps(args):
            record["sweeps"].append(sweep)
            report.show_sweep(sweep)
            report.write(args.out, record)
    _progress("matrix products")
    record["product_gflop_per_second"]["after"] = rate() / 1e9
    report.end(record)
    report.write(args.out, record)


def _check_flags(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if args.config is None and (args.size or args.sampler):
        parser.error("--size and --sampler go with --config")
    if args.config is not None and args.size is None:
        parser.error("--config needs --size, the height and width of the images")
    if args.config is not None and (args.sweeps or args.layers):
        parser.error("--sweeps and --layers go without --config")
    if args.profile and args.out is None:
        parser.error("--profile needs --out, where to write the traces")


def _folder_of_profile(out: Path, case: Case) -> Path:
    name = f"{case.name} {case.setup.model.config.layer} {case.setup.config.batch_size}"
    return out / "profile" / re.sub(r"\W+", "_", name)


def _read_config(args: argparse.Namespace, overrides: Sequence[str]) -> ConfigDict:
    config = configuration.read_config(args.config, overrides)
    config.model.dtype = args.dtype or config.model.dtype
    config.batch_size = args.batch_size or config.batch_size
    return config


def _cases(args: argparse.Namespace) -> list[Case]:
    """What is measured without --config; all checked."""
    return [
        make_case(sizes.name, _config(args, sizes, layer, batch_size), sizes.size, sampler=sizes.sampler)
        for sizes in ((MNIST, CIFAR) if _on_cpu() else (ACCELERATOR_MNIST, ACCELERATOR_CIFAR))
        for layer in args.layers or LAYERS
        for batch_size in _batch_sizes(args, sizes)
    ]


def _config(args: argparse.Namespace, sizes: Sizes, layer: str, batch_size: int, **fields: int) -> ConfigDict:
    config = configuration.read_config(sizes.config, [])
    dtype = args.dtype or ("float32" if _on_cpu() else "bfloat16")
    config.model.update(layer=layer, dtype=dtype, **sizes.fields | fields)
    config.batch_size = batch_size
    return config


def _batch_sizes(args: argparse.Namespace, sizes: Sizes) -> tuple[int, ...]:
    return (args.batch_size,) if args.batch_size else _for_all_devices(sizes.batch_sizes)


def _for_all_devices(batch_sizes: Sequence[int]) -> tuple[int, ...]:
    """The next multiples of the number of devices."""
    return tuple(dict.fromkeys(command.next_multiple(batch_size, jax.device_count()) for batch_size in batch_sizes))


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _sweeps(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures how the time of a step grows, from MNIST's sizes; yields a sweep for each axis and layer.

    Yields:
      "axis", "layer", "values" on the axis and the "entries" for them.
    """

    @functools.cache  # the sweeps cross
    def entry(layer: str, batch_size: int, side: int, **fields: int) -> dict[str, Any]:
        config = _config(args, MNIST, layer, batch_size, **fields)
        return _entry(make_case(MNIST.name, config, (side, side), likelihood=False), args.repeats)

    start = {"batch_size": _batch_sizes(args, MNIST)[0], "side": MNIST.size[0]}
    start |= {name: _config(args, MNIST, LAYERS[0], 1).model[name] for name in ("depth", "features")}
    for axis, values in (SWEEPS if _on_cpu() else ACCELERATOR_SWEEPS).items():
        if axis == "batch_size":
            values = _for_all_devices(values)
        for layer in args.layers or LAYERS:
            entries = [entry(layer, **start | {axis: value}) for value in values]
            yield {"axis": axis, "layer": layer, "values": values, "entries": entries}


def _entry(case: Case, repeats: int) -> dict[str, Any]:
    model = case.setup.model.config
    images = f"{case.setup.config.batch_size} images of {'x'.join(map(str, case.setup.image_shape))}"
    _progress(f"{case.name}, {model.layer}: {images}, {model.depth} layers, h = {model.features}")
    return measure(case, repeats)


def _progress(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr)
