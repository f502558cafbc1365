"""Measures training steps:  pixel-rnn benchmark train --sweeps --out=speed

Measures the training step of each kind of layer, on random images of MNIST's and CIFAR-10's sizes. On a CPU the model for
CIFAR-10 is a small one, elsewhere the paper's. A GPU or TPU is measured at several batch sizes, up to the largest that fits in
its memory. Or the step of one configuration:  --config=imagenet64_rowlstm --size=64,64 --config.model.remat=True

The figures: times of compilation and of a step; speed of likelihood and sampler for as many images; memory; and the operations
of the step, counted from the model's shapes, as a share of the rate of matrix products on this machine. --sweeps adds how the
time grows with batch size, image size, depth and h.
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

from pixel_rnn_jax.cli import benchmark_tables, configuration, flags, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import DTYPES, LAYERS
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.parallel.machine import describe_machine, product_rate
from pixel_rnn_jax.parallel.mesh import next_multiple
from pixel_rnn_jax.training.speed import Case, make_case, measure


class Sizes(NamedTuple):
    """Sizes at which each kind of layer is measured.

    Attributes:
      name: in the tables.
      config: a shipped configuration; its layer is replaced.
      size: height and width of the images.
      batch_sizes: images in a step.
      fields: of the model, where they differ from the configuration's.
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

# Each changes one of MNIST's sizes.
SWEEPS = {
    "batch_size": (8, 16, 32, 64, 128),
    "side": (8, 12, 18, 28, 42),
    "depth": (1, 2, 4, 7, 12),
    "features": (8, 16, 32, 64),
}
# So few images would leave an accelerator idle.
ACCELERATOR_SWEEPS = SWEEPS | {"batch_size": (16, 64, 256, 1024), "features": (16, 32, 64, 128, 256)}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this measurement."""
    parser.add_argument(
        "--config", help="measure this configuration, a file or a shipped one; --config.FIELD=VALUE changes a field"
    )
    parser.add_argument("--size", type=flags.image_size, metavar="H,W", help="height and width of the images, with --config")
    parser.add_argument("--sampler", action="store_true", help="with --config, measure the sampler too, which may take long")
    parser.add_argument(
        "--layers", type=_layers, metavar="LAYER,...", help="kinds of layers, without --config; all by default"
    )
    parser.add_argument("--sweeps", action="store_true", help="without --config, also vary each of MNIST's sizes")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="by default the configuration's; without one, float32 on a CPU and bfloat16 elsewhere"
    )
    parser.add_argument("--batch_size", type=flags.positive, help="images in a step; by default the configuration's")
    parser.add_argument("--repeats", type=flags.positive, default=5, help="steps measured; their median counts")
    parser.add_argument(
        "--profile", action="store_true", help="also write traces of a few steps to DIR/profile, for xprof or Perfetto"
    )
    parser.add_argument(
        "--out", type=outputs.output_folder, metavar="DIR", help="also write train.json, train.md and sweeps.png"
    )


def _layers(text: str) -> tuple[str, ...]:
    unknown = set(text.split(",")) - set(LAYERS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))!r} must be of {', '.join(LAYERS)}")
    return tuple(layer for layer in LAYERS if layer in text.split(","))


def run(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Measures, prints and writes; overrides: of the configuration that --config names."""
    _check_flags(args)
    if args.config is None:
        share_among_cores(args.batch_size)
        cases = _cases(args)
    else:
        config = _read_config(args, overrides)
        configuration.share_training_among_cores(config)
        cases = [make_case(args.config, config, args.size, sampler=args.sampler)]
    model = cases[0].recipe.model.config
    rate = functools.partial(product_rate, model.dtype, model.precision, args.repeats)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)  # errors now, not after minutes of work
    _progress("matrix products")
    record = {
        "machine": describe_machine() | {"dtype": model.dtype},
        "product_gflop_per_second": {"before": rate() / 1e9},
        "entries": [],
        "sweeps": [],
    }
    benchmark_tables.begin(record)
    for case in cases:
        if args.profile:
            case = case._replace(profile=_profile_folder(args.out, case))
        record["entries"].append(_entry(case, args.repeats))
        benchmark_tables.show_entry(record)
        benchmark_tables.write(args.out, record)
    if args.sweeps:
        for sweep in _sweeps(args):
            record["sweeps"].append(sweep)
            benchmark_tables.show_sweep(sweep)
            benchmark_tables.write(args.out, record)
    _progress("matrix products")
    record["product_gflop_per_second"]["after"] = rate() / 1e9
    benchmark_tables.end(record)
    benchmark_tables.write(args.out, record)


def _check_flags(args: argparse.Namespace) -> None:
    if args.config is None and (args.size or args.sampler):
        raise InputError("--size and --sampler go with --config.")
    if args.config is not None and args.size is None:
        raise InputError("--config needs --size, the height and width of the images.")
    if args.config is not None and (args.sweeps or args.layers):
        raise InputError("--sweeps and --layers go without --config.")
    if args.profile and args.out is None:
        raise InputError("--profile needs --out, the folder of the traces.")


def _profile_folder(out: Path, case: Case) -> Path:
    name = f"{case.name} {case.recipe.model.config.layer} {case.recipe.config.batch_size}"
    return out / "profile" / re.sub(r"\W+", "_", name)


def _read_config(args: argparse.Namespace, overrides: Sequence[str]) -> ConfigDict:
    config = configuration.read_config(args.config, overrides)
    config.model.dtype = args.dtype or config.model.dtype
    config.batch_size = args.batch_size or config.batch_size
    return config


def _cases(args: argparse.Namespace) -> list[Case]:
    """The cases to measure without --config."""
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
    return (args.batch_size,) if args.batch_size else _device_multiples(sizes.batch_sizes)


def _device_multiples(batch_sizes: Sequence[int]) -> tuple[int, ...]:
    """The next multiples of the number of devices, each once."""
    return tuple(dict.fromkeys(next_multiple(batch_size, jax.device_count()) for batch_size in batch_sizes))


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _sweeps(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures how the time of a step grows, from MNIST's sizes.

    Yields:
      For each axis and layer "axis", "layer", "values" on the axis and the "entries" measured at them.
    """

    @functools.cache  # all sweeps pass through MNIST's sizes
    def entry(layer: str, batch_size: int, side: int, **fields: int) -> dict[str, Any]:
        config = _config(args, MNIST, layer, batch_size, **fields)
        return _entry(make_case(MNIST.name, config, (side, side), likelihood=False), args.repeats)

    start = {"batch_size": _batch_sizes(args, MNIST)[0], "side": MNIST.size[0]}
    start |= {name: _config(args, MNIST, LAYERS[0], 1).model[name] for name in ("depth", "features")}
    for axis, values in (SWEEPS if _on_cpu() else ACCELERATOR_SWEEPS).items():
        if axis == "batch_size":
            values = _device_multiples(values)
        for layer in args.layers or LAYERS:
            entries = [entry(layer, **start | {axis: value}) for value in values]
            yield {"axis": axis, "layer": layer, "values": values, "entries": entries}


def _entry(case: Case, repeats: int) -> dict[str, Any]:
    model = case.recipe.model.config
    images = f"{case.recipe.config.batch_size} images of {'x'.join(map(str, case.recipe.image_shape))}"
    _progress(f"{case.name}, {model.layer}: {images}, {model.depth} layers, h = {model.features}")
    return measure(case, repeats)


def _progress(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr)
