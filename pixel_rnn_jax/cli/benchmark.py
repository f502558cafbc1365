"""Speed on this machine:

    python -m experiments.benchmark train --sweeps --out=speed
    python -m experiments.benchmark generate --workdir=runs/digits --json=speed.json

`train` measures training steps, evaluation and the sampler; `generate` drawing and compression, and how much they save.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command
from pixel_rnn_jax.cli.speed import generate, train

MEASUREMENTS = {"train": train, "generate": generate}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the first argument names."""
    parser = command.make_parser("benchmark", __doc__, workdir=None)
    measurements = parser.add_subparsers(dest="what", required=True)
    parsers = {}
    for name, module in MEASUREMENTS.items():
        parsers[name] = measurements.add_parser(
            name,
            help=module.__doc__.partition(":")[0],
            description=module.__doc__,
            formatter_class=command.HelpFormatter,
            allow_abbrev=False,
        )
        module.add_flags(parsers[name])
    args, overrides = parser.parse_known_args(argv)
    if overrides and getattr(args, "config", None) is None:
        parsers[args.what].error(f"unrecognized arguments: {' '.join(overrides)}")
    MEASUREMENTS[args.what].run(args, overrides, parsers[args.what])


if __name__ == "__main__":
    command.run(main)
