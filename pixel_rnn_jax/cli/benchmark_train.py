"""Measures training steps:  pixel-rnn benchmark train --sweeps --out=speed

Measures the training step of each kind of layer, on random images of MNIST's and CIFAR-10's sizes. On a CPU the model for
CIFAR-10 is a small one, elsewhere the paper's. A GPU or TPU is measured in bfloat16 and at several batch sizes, up to the
largest that fits in its memory. Or the step of one configuration:
--config=imagenet64_rowlstm --size=64,64 --config.model.remat=True

The figures: times of compilation and of a step; speed of likelihood and sampler for as many images; memory; and the operations
of the step, counted from the model's shapes, as a share of the rate of matrix products on this machine. --sweeps adds how the
time grows with batch size, image size, depth and h.
"""

import argparse
import functools
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from pixel_rnn_jax.cli import benchmark_tables, configuration, flags, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import LAYERS
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.parallel.hardware import describe_machine, product_rate
from pixel_rnn_jax.parallel.mesh import next_multiple
from pixel_rnn_jax.training.config import shipped_config
from pixel_rnn_jax.training.run import StepRecipe, prepare_step
from pixel_rnn_jax.training.speed import measure


class Sizes(NamedTuple):
    """Sizes at which each kind of layer is measured.

    Attributes:
      name: in the tables.
      config: a shipped configuration; its layer is replaced.
      side: height and width of the images.
      batch_sizes: images in a step.
      fields: of the model, where they differ from the configuration's.
    """

    name: str
    config: str
    side: int
    batch_sizes: tuple[int, ...]
    fields: dict[str, int]


MNIST = Sizes("MNIST", "mnist_diagonal_bilstm", 28, (64,), {})
CIFAR = Sizes("CIFAR-10, small", "cifar_rowlstm", 32, (16,), {"depth": 4, "features": 32, "head_features": 64})
ACCELERATOR_MNIST = MNIST._replace(batch_sizes=(64, 256, 1024))
ACCELERATOR_CIFAR = Sizes("CIFAR-10", "cifar_rowlstm", 32, (16, 32, 64, 128, 256, 512), {})

# Each changes one of MNIST's sizes.
SWEEPS = {
    "batch_size": (8, 16, 32, 64, 128),
    "side": (8, 12, 18, 28, 42),
    "depth": (1, 2, 4, 7, 12),
    "features": (8, 16, 32, 64),
}
# So few images would leave an accelerator idle.
ACCELERATOR_SWEEPS = SWEEPS | {"batch_size": (16, 64, 256, 1024), "features": (16, 32, 64, 128, 256)}


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides of the configuration that --config names."""
    parser = flags.make_parser("benchmark train", __doc__)
    config_help = "measure this configuration, a file or a shipped one; --config.FIELD=VALUE changes a field"
    parser.add_argument("--config", help=config_help)
    parser.add_argument("--size", type=flags.image_size, metavar="H,W", help="height and width of the images, with --config")
    parser.add_argument("--sweeps", action="store_true", help="without --config, also vary each of MNIST's sizes")
    parser.add_argument("--repeats", type=flags.positive, default=5, help="steps measured; their median counts")
    profile_help = "also write traces of a few steps to DIR/profile, for xprof or Perfetto"
    parser.add_argument("--profile", action="store_true", help=profile_help)
    out_help = "also write train.json, train.md and sweeps.png"
    parser.add_argument("--out", type=outputs.output_folder, metavar="DIR", help=out_help)
    args, overrides = parser.parse_known_args(argv)
    if overrides and args.config is None:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    if (args.config is None) != (args.size is None):
        raise InputError("--config and --size, the height and width of its images, go together.")
    if args.config is not None and args.sweeps:
        raise InputError("--sweeps goes without --config.")
    if args.profile and args.out is None:
        raise InputError("--profile needs --out, the folder of the traces.")
    return args, overrides


def main(argv: Sequence[str]) -> None:
    """Measures, prints and writes."""
    args, overrides = parse(argv)
    if args.config is None:
        share_among_cores(None)
        cases = list(_cases())
    else:
        config = configuration.read_config(args.config, overrides)
        configuration.share_training_among_cores(config)
        cases = [(args.config, prepare_step(config, (*args.size, config.model.channels)))]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)  # errors now, not after minutes of work
    model = cases[0][1].model.config
    print("measuring matrix products", file=sys.stderr)
    rate = product_rate(model.dtype, model.precision, args.repeats) / 1e9
    machine = describe_machine() | {"dtype": model.dtype, "product_gflop_per_second": rate}
    record = {"machine": machine, "entries": [], "sweeps": []}
    print(benchmark_tables.describe(machine), "", *benchmark_tables.table([benchmark_tables.HEADINGS]), sep="\n", flush=True)
    for name, recipe in cases:
        folder = re.sub(r"\W+", "_", f"{name} {recipe.model.config.layer} {recipe.config.batch_size}")
        profile = args.out / "profile" / folder if args.profile else None
        entry = _measure(name, recipe, args.repeats, sampler=name == MNIST.name, profile=profile)
        if "error" not in entry:
            entry["share"] = entry["gflop"] / entry["step_seconds"] / rate
        record["entries"].append(entry)
        print(benchmark_tables.line(benchmark_tables.cells(entry)), flush=True)
        if args.out is not None:
            benchmark_tables.write(args.out, record)
    for sweep in _sweeps(args.repeats) if args.sweeps else ():
        record["sweeps"].append(sweep)
        print(f"{benchmark_tables.AXES[sweep['axis']]}: {benchmark_tables.sweep_line(sweep)}", flush=True)
        if args.out is not None:
            benchmark_tables.write(args.out, record)


def _cases() -> Iterator[tuple[str, StepRecipe]]:
    """Names and steps of the cases to measure without --config."""
    for sizes in (MNIST, CIFAR) if _on_cpu() else (ACCELERATOR_MNIST, ACCELERATOR_CIFAR):
        for layer in LAYERS:
            for batch_size in _device_multiples(sizes.batch_sizes):
                yield sizes.name, _recipe(sizes, layer, batch_size, sizes.side)


def _recipe(sizes: Sizes, layer: str, batch_size: int, side: int, **fields: int) -> StepRecipe:
    config = shipped_config(sizes.config)
    config.model.update(layer=layer, dtype="float32" if _on_cpu() else "bfloat16", **sizes.fields | fields)
    config.batch_size = batch_size
    return prepare_step(config, (side, side, config.model.channels))


def _device_multiples(batch_sizes: Sequence[int]) -> tuple[int, ...]:
    """The next multiples of the number of devices, each once."""
    return tuple(dict.fromkeys(next_multiple(batch_size, jax.device_count()) for batch_size in batch_sizes))


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _sweeps(repeats: int) -> Iterator[dict[str, Any]]:
    """Measures how the time of a step grows, from MNIST's sizes.

    Yields:
      For each axis and layer "axis", "layer", "values" on the axis, "seconds" (None: does not fit in memory) and "exponent".
    """

    @functools.cache  # all sweeps pass through MNIST's sizes
    def seconds(layer: str, **fields: int) -> float | None:
        return _measure(MNIST.name, _recipe(MNIST, layer, **fields), repeats, likelihood=False).get("step_seconds")

    model = shipped_config(MNIST.config).model.to_dict() | MNIST.fields
    start = {"batch_size": _device_multiples(MNIST.batch_sizes)[0], "side": MNIST.side}
    start |= {"depth": model["depth"], "features": model["features"]}
    for axis, values in (SWEEPS if _on_cpu() else ACCELERATOR_SWEEPS).items():
        values = _device_multiples(values) if axis == "batch_size" else values
        for layer in LAYERS:
            sweep = {"axis": axis, "layer": layer, "values": values}
            sweep["seconds"] = [seconds(layer, **start | {axis: value}) for value in values]
            yield sweep | {"exponent": benchmark_tables.exponent(benchmark_tables.points(sweep))}


def _measure(name: str, recipe: StepRecipe, repeats: int, **options: Any) -> dict[str, Any]:
    model = recipe.model.config
    images = f"{recipe.config.batch_size} images of {'x'.join(map(str, recipe.image_shape))}"
    print(f"measuring {name}, {model.layer}: {images}, {model.depth} layers, h = {model.features}", file=sys.stderr)
    return {"name": name} | measure(recipe, repeats, **options)
