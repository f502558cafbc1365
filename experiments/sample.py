"""Draws images from a trained model:  python -m experiments.sample --workdir=runs/digits --num=100 --out=samples.png"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments import command
from pixel_rnn_jax.checkpoint import load_run
from pixel_rnn_jax.errors import check_integer
from pixel_rnn_jax.generate import generate
from pixel_rnn_jax.plots import save_animation, save_sheet, to_rgb
from pixel_rnn_jax.sharding import make_mesh


def main(argv: Sequence[str] | None = None) -> None:
    """Draws images, and writes them as a sheet."""
    parser = command.make_parser("sample", __doc__)
    parser.add_argument("--num", type=int, default=100, help="number of images")
    command.add_seed_flag(parser, "the random key")
    command.add_drawing_flags(parser)
    parser.add_argument(
        "--size", type=command.image_size, metavar="H,W", help="height and width; of the training, if not given"
    )
    parser.add_argument(
        "--out", type=command.output_file(".png"), default=Path("samples.png"), help="PNG file of a sheet of the images"
    )
    parser.add_argument(
        "--npz", type=command.output_file(".npz"), help="also write the images to this file, as the array `images`"
    )
    args = parser.parse_args(argv)
    model, params, run = load_run(args.workdir)
    size = args.size or tuple(run["image_shape"][:2])
    for name, value in (("--num", args.num), ("height", size[0]), ("width", size[1])):
        check_integer(name, value, 1)
    print(f"drawing {args.num} images of {size[0]}x{size[1]} pixels", file=sys.stderr)
    known = np.zeros(size, bool)
    images = generate(
        model,
        params,
        jax.random.key(args.seed),
        np.zeros((args.num, *size, model.config.channels), np.uint8),
        known,
        temperature=args.temperature,
        batch_size=args.batch_size,
        mesh=make_mesh(),
    ).images
    if args.npz:
        command.write_arrays(args.npz, images=images)
    rgb, columns = to_rgb(images, model.config.levels), math.ceil(math.sqrt(args.num))
    save_sheet(args.out, rgb, columns=columns)
    if args.animation:
        save_animation(args.animation, rgb, known, columns=columns)
    print(*filter(None, (args.out, args.npz, args.animation)))


if __name__ == "__main__":
    command.run(main)
