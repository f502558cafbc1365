"""Writes a trained model as one file:  pixel-rnn export --workdir=runs/digits --out=digits.safetensors

The file holds the averaged parameters of the best checkpoint and their configuration. All commands take it as --workdir, and
`pixel_rnn_jax.load` as its path.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.storage.export import ENDING, save_weights
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the best checkpoint, and prints the file's size."""
    parser = flags.make_parser("export", __doc__, "--workdir")
    parser.add_argument("--out", required=True, type=outputs.output_file(ENDING), help="the file to write")
    args = parser.parse_args(argv)
    _, params, run = load_run(args.workdir)
    save_weights(args.out, params, run)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    command.run(main)
