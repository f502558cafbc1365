"""Measures the speed on this machine:  pixel-rnn benchmark train --sweeps --out=speed

`benchmark train` measures training steps, the likelihood and the sampler; `benchmark generate` drawing, beside the time that
full passes of the network would take.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import benchmark_generate, benchmark_train, command, flags

MEASUREMENTS = {"train": benchmark_train, "generate": benchmark_generate}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the measurement that the first argument names."""
    parser = flags.make_parser("benchmark", __doc__)
    subparsers = parser.add_subparsers(dest="what", required=True)
    parsers = {}
    for name, module in MEASUREMENTS.items():
        parsers[name] = subparsers.add_parser(
            name,
            help=module.__doc__.partition(":")[0],
            description=module.__doc__,
            formatter_class=flags.HelpFormatter,
            allow_abbrev=False,
        )
        module.add_flags(parsers[name])
    args, overrides = parser.parse_known_args(argv)
    if overrides and getattr(args, "config", None) is None:
        parsers[args.what].error(f"unrecognized arguments: {' '.join(overrides)}")
    MEASUREMENTS[args.what].run(args, overrides)


if __name__ == "__main__":
    command.run(main)
