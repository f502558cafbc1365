"""Draws the course of trainings:  python -m experiments.curves --workdir=runs/rowlstm --workdir=runs/pixelcnn --out=curves.png

One picture of several runs, finished ones and those that still go on, each named by its folder.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import absolute
from pixel_rnn_jax.plots import UNITS, save_curves
from pixel_rnn_jax.training.metrics import read_metrics


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the training and validation scores of runs against the step."""
    parser = command.make_parser("curves", __doc__, workdir=None)
    parser.add_argument("--workdir", action="append", required=True, help="work directory of a run; may be given again")
    parser.add_argument("--unit", choices=UNITS, default="bits_per_dim", help="of the scores")
    parser.add_argument("--title", default="", help="above the curves")
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
