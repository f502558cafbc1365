"""Completes images of which the top is known:  python -m experiments.complete --workdir=runs/digits --out=completions.png

Each row of the sheet shows what is known of an image, several completions, and the original last, as in the paper's Figure 1.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments import command
from pixel_rnn_jax.checkpoint import load_run
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.plots import hide_unknown, save_sheet, to_rgb
from pixel_rnn_jax.sampling import complete


def main(argv: Sequence[str] | None = None) -> None:
    """Completes images of a split, and writes them as a sheet."""
    parser = command.make_parser("complete", __doc__)
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--num", type=int, help="number of images, picked at random; 8 if there are as many, if not given")
    parser.add_argument("--completions", type=int, default=6, help="completions of each image")
    parser.add_argument("--keep", type=float, default=0.5, help="share of the rows, from the top, that is known")
    command.add_seed_flag(parser, "the choice of images and the random key")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the logits")
    parser.add_argument("--out", type=command.output_file, default=Path("completions.png"), help="PNG file of the sheet")
    parser.add_argument("--npz", type=command.output_file, help="also write the arrays originals, known, completions")
    command.add_data_dir_flag(parser)
    args = parser.parse_args(argv)
    if not 0 <= args.keep <= 1:
        raise InputError(f"--keep must be in [0, 1]; got {args.keep}.")
    if args.completions < 1:
        raise InputError(f"--completions must be at least 1; got {args.completions}.")
    model, params, run = load_run(args.workdir)
    images = command.open_dataset(run["config"], args.data_dir).images(args.split)
    num = min(8, len(images)) if args.num is None else args.num
    if not 1 <= num <= len(images):
        raise InputError(f"--num must be from 1 to {len(images)}, the images in {args.split}; got {num}.")
    originals = images[np.random.default_rng(args.seed).choice(len(images), num, replace=False)]
    height, width = originals.shape[1:3]
    known = np.broadcast_to(np.arange(height)[:, None] < round(args.keep * height), (height, width))
    print(f"completing {num} images, {args.completions} times each", file=sys.stderr)
    starts = originals.repeat(args.completions, axis=0)
    completed = np.asarray(complete(model, params, jax.random.key(args.seed), starts, known, args.temperature))
    completed = completed.reshape(num, args.completions, *originals.shape[1:])
    if args.npz:
        command.write_arrays(args.npz, originals=originals, known=known, completions=completed)

    def rgb(images):
        return to_rgb(images, model.config.levels)

    rows = [
        np.stack([hide_unknown(rgb(original[None]), known)[0], *rgb(completions), rgb(original[None])[0]])
        for original, completions in zip(originals, completed, strict=True)
    ]
    save_sheet(args.out, np.concatenate(rows), columns=args.completions + 2, min_width=500)
    print(*filter(None, (args.out, args.npz)))


if __name__ == "__main__":
    command.run(main)
