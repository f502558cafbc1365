"""Measures the speed on this machine:  pixel-rnn benchmark train --sweeps --out=speed

`benchmark train` measures training steps, the likelihood and the sampler; `benchmark generate` drawing, beside the time that
full passes of the network would take. `benchmark train --help` and `benchmark generate --help` show their flags.
"""

import sys
from collections.abc import Sequence

from pixel_rnn_jax.cli import benchmark_generate, benchmark_train, command, flags

MEASUREMENTS = {"train": benchmark_train.main, "generate": benchmark_generate.main}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the measurement that the first argument names."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in MEASUREMENTS:
        MEASUREMENTS[argv[0]](argv[1:])
    else:
        parser = flags.make_parser("benchmark", __doc__)
        parser.add_argument("what", choices=MEASUREMENTS, help="what to measure")
        parser.parse_args(argv)


if __name__ == "__main__":
    command.run(main)
