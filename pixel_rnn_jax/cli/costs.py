"""What a configuration costs:  pixel-rnn costs --config=cifar_rowlstm --size=32,32

Counts parameters, bytes and floating-point operations, and asks XLA how much memory a training step takes on this kind of
device: a part for each image of the batch, and a fixed part. The figures are for one device, without gradient accumulation.
The step is compiled for two batch sizes, and not run; no data is needed.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, configuration, flags, outputs
from pixel_rnn_jax.training.costs import measure_costs


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    parser = flags.make_parser("costs", __doc__, "--config", "--json")
    parser.add_argument("--size", type=flags.image_size, required=True, metavar="H,W", help="height and width of the images")
    args, overrides = parser.parse_known_args(argv)
    costs = measure_costs(configuration.read_config(args.config, overrides), args.size)
    print(f"{costs['parameters']:,} parameters; {costs['state_mib']:.1f} MiB with average and optimizer state")
    print(f"{costs['forward_gflop']:.4g} GFLOP for an image's likelihood, {costs['training_gflop']:.4g} in a training step")
    print(
        f"a training step on one {costs['platform']} takes {costs['image_mib']:.4g} MiB for each image, and"
        f" {costs['fixed_mib']:.4g} MiB beside it (state included); it compiles in {costs['compile_seconds']:.0f} s"
    )
    if args.json:
        outputs.write_json(args.json, costs)


if __name__ == "__main__":
    command.run(main)
