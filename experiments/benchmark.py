"""Speed on this machine:

    python -m experiments.benchmark train --sweeps --out=speed
    python -m experiments.benchmark generate --workdir=runs/digits --json=speed.json

`train` measures training steps, evaluation and the sampler; `generate` drawing and compression, and how much they save.
"""

import argparse
from collections.abc import Sequence

from experiments import command
from experiments.speed import generate, train


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the first argument names."""
    parser = command.make_parser("benchmark", __doc__, workdir=False)
    measurements = parser.add_subparsers(dest="what", required=True)
    of_train = _add(measurements, "train", train.__doc__)
    train.add_flags(of_train)
    generate.add_flags(_add(measurements, "generate", generate.__doc__))
    args, overrides = parser.parse_known_args(argv)
    if args.what == "train":
        train.run(args, overrides, of_train)
    elif overrides:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    else:
        generate.run(args)


def _add(measurements: argparse._SubParsersAction, name: str, description: str) -> argparse.ArgumentParser:
    return measurements.add_parser(
        name,
        help=description.partition(":")[0],
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


if __name__ == "__main__":
    command.run(main)
