"""Draws learning curves:  pixel-rnn curves --workdir=runs/rowlstm --workdir=runs/pixelcnn --out=curves.png

One picture of several runs, finished or not, each named by its folder.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import absolute
from pixel_rnn_jax.plots import UNITS, save_curves
from pixel_rnn_jax.training.metrics import read_metrics


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the training and validation scores of runs against the step."""
    parser = flags.make_parser("curves", __doc__)
    parser.add_argument("--workdir", action="append", required=True, help="work directory of a run; may be repeated")
    parser.add_argument("--unit", choices=UNITS, default="bits_per_dim", help="of the scores")
    parser.add_argument("--title", default="", help="title of the picture")
    parser.add_argument("--out", type=outputs.output_file(".png"), default="curves.png", help="PNG file to write")
    args = parser.parse_args(argv)
    runs = {workdir: read_metrics(workdir) for workdir in args.workdir}
    for workdir, rows in runs.items():
        if not rows:
            raise InputError(f"{workdir} must be the work directory of a training run; it holds no measurements.")
    folders = {absolute(workdir).name: rows for workdir, rows in runs.items()}
    save_curves(args.out, folders if len(folders) == len(runs) else runs, unit=args.unit, title=args.title)
    print(args.out)


if __name__ == "__main__":
    command.run(main)
