"""What a configuration costs:  pixel-rnn costs --config=cifar_rowlstm --size=32,32 --topology=v5e:4x4

Counts parameters, bytes and floating-point operations, and asks XLA how much memory a training step takes on this kind of
device: a part for each image of the batch, and a fixed part. The figures are for one device, without gradient accumulation.
The step is compiled for two batch sizes, and not run; no data is needed.

--topology compiles for devices that need not be there, exactly as on them: TPU chips by their layout (v4:2x2x4, v5e:4x4,
v5p:2x2x1, v6e:4x4), or GPUs (a100:8, h100:1, h200:16; those of several hosts in eights). It prints the memory that each device
needs, what the devices exchange, and what is in each loop. It needs the compiler: pip install 'pixel_rnn_jax[tpu]' or …[cuda].
"""

from collections.abc import Sequence
from typing import Any

import jax

from pixel_rnn_jax.cli import command, configuration, flags, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.costs import measure_costs
from pixel_rnn_jax.training.plan import PROGRAMS, plan_costs

WORDS = {"train": "a training step", "evaluate": "scoring a batch", "sample": "drawing a row of a batch"}
UNITS = (("GiB", 30), ("MiB", 20), ("KiB", 10), ("bytes", 0))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    parser = flags.make_parser("costs", __doc__, "--config", "--json")
    parser.add_argument("--size", type=flags.image_size, required=True, metavar="H,W", help="height and width of the images")
    parser.add_argument("--topology", metavar="NAME", help="devices to compile for, such as v5e:4x4 or h100:8")
    parser.add_argument(
        "--what", choices=PROGRAMS, help="what to compile for --topology: a training step (the default),"
        " the scoring of a batch, or the drawing of a row of a batch of images"
    )  # fmt: skip
    args, overrides = parser.parse_known_args(argv)
    if args.what and args.topology is None:
        raise InputError(f"--what is for the devices of --topology; got {args.what!r} without any.")
    config = configuration.read_config(args.config, overrides)
    if args.topology is None:
        costs = measure_costs(config, args.size)
        _print_costs(costs)
    else:
        # The machine at hand does not matter. JAX cannot read what it has cached for devices that are not there.
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_compilation_cache", False)
        costs = {"config": args.config, "size": args.size} | plan_costs(config, args.size, args.topology, args.what or "train")
        _print_plan(costs)
    if args.json:
        outputs.write_json(args.json, costs)


def _print_costs(costs: dict[str, Any]) -> None:
    print(f"{costs['parameters']:,} parameters; {costs['state_mib']:.1f} MiB with average and optimizer state")
    print(f"{costs['forward_gflop']:.4g} GFLOP for an image's likelihood, {costs['training_gflop']:.4g} in a training step")
    print(
        f"a training step on one {costs['platform']} takes {costs['image_mib']:.4g} MiB for each image, and"
        f" {costs['fixed_mib']:.4g} MiB beside it (state included); it compiles in {costs['compile_seconds']:.0f} s"
    )


def _print_plan(costs: dict[str, Any]) -> None:
    images, microbatches = costs["batch_size"] // costs["devices"], costs["microbatches"]
    print(
        f"{WORDS[costs['what']]} on {costs['devices']} x {costs['device_kind']} of {costs['hosts']} host(s):"
        f" {images} images on each device" + (f", in {microbatches} microbatches" if microbatches > 1 else "")
    )
    memory = f"the {_bytes(costs['device_bytes'])} that JAX can use of each device"
    if "error" in costs:
        print(f"does not fit into {memory}: {costs['error']}")
    else:
        fits = "fits" if costs["fits"] else "DOES NOT FIT"
        arguments, temporary = _bytes(costs["argument_bytes"]), _bytes(costs["temporary_bytes"])
        print(f"{fits} into {memory}: {_bytes(costs['total_bytes'])} ({arguments} state and images, {temporary} temporary)")
        for exchange in costs["exchanges"]:
            arrays = f"{exchange['count']} x {exchange['kind']}, {_bytes(exchange['bytes'])}"
            print(f"exchanged: {arrays}, {exchange['in_loops']} in loops")
        print(f"{'loops':44} {'number':>6} {'turns':>6}   in a turn: {'kernels':>7} {'copies':>6}")
        for loop in costs["loops"]:
            counts = f"{loop['count']:6} {loop['turns'] or '?':>6}              {loop['kernels']:7} {loop['copies']:6}"
            print(f"{loop['name']:44} {counts}")
        print(f"traced in {costs['trace_seconds']:.0f} s, compiled in {costs['compile_seconds']:.0f} s")
    print("This is a compiler's plan, not a measurement: nothing ran.")


def _bytes(number: int) -> str:
    unit, power = next(((unit, power) for unit, power in UNITS if number >= 2**power), UNITS[-1])
    return f"{number / 2**power:,.3g} {unit}"


if __name__ == "__main__":
    command.run(main)
