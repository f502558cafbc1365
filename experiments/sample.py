"""Draws images from a trained model:  python -m experiments.sample --workdir=runs/digits --num=100 --out=samples.png"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments import command
from pixel_rnn_jax.checkpoint import load_run
from pixel_rnn_jax.plots import save_sheet, to_rgb
from pixel_rnn_jax.sampling import sample


def main(argv: Sequence[str] | None = None) -> None:
    """Draws images, and writes them as a sheet."""
    parser = command.make_parser("sample", __doc__)
    parser.add_argument("--num", type=int, default=100, help="number of images")
    command.add_seed_flag(parser, "the random key")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the logits")
    parser.add_argument(
        "--size", type=command.image_size, metavar="H,W", help="height and width; of the training, if not given"
    )
    parser.add_argument(
        "--out", type=command.output_file, default=Path("samples.png"), help="PNG file of a sheet of the images"
    )
    parser.add_argument("--npz", type=command.output_file, help="also write the images to this file, as the array `images`")
    args = parser.parse_args(argv)
    model, params, run = load_run(args.workdir)
    size = args.size or tuple(run["image_shape"][:2])
    print(f"drawing {args.num} images of {size[0]}x{size[1]} pixels", file=sys.stderr)
    images = np.asarray(sample(model, params, jax.random.key(args.seed), args.num, size, args.temperature))
    if args.npz:
        command.write_arrays(args.npz, images=images)
    save_sheet(args.out, to_rgb(images, model.config.levels), columns=math.ceil(math.sqrt(args.num)))
    print(*filter(None, (args.out, args.npz)))


if __name__ == "__main__":
    command.run(main)
