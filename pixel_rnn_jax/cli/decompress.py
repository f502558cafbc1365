"""Decodes what `compress` wrote:  python -m experiments.decompress --workdir=runs/digits --input=x.prnn --out=images.npz

The labels and context images of a conditional model are read from x.given.npz by default.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.cli.compress import conditions_path
from pixel_rnn_jax.compression.codec import decompress
from pixel_rnn_jax.data.user_files import read_conditions
from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes images and writes them as arrays or pictures."""
    parser = flags.make_parser("decompress", __doc__, "--workdir")
    parser.add_argument("--input", type=Path, required=True, help="file that `compress` wrote")
    out = "npz file (array `images`), or a new folder for PNG files"
    parser.add_argument("--out", type=_file_or_folder, required=True, help=out)
    parser.add_argument("--given", type=Path, help="npz file of labels and context (default: x.given.npz for x.prnn)")
    args = parser.parse_args(argv)
    blob = args.input.read_bytes()
    model, params, _ = load_run(args.workdir)
    conditions = UNCONDITIONAL
    if args.given is not None or model.config.num_classes or model.config.context_channels:
        conditions = read_conditions(args.given or conditions_path(args.input))
    images = decompress(model, params, blob, *conditions)
    if args.out.suffix:
        outputs.write_arrays(args.out, images=images)
    else:
        write_pictures(args.out, images, model.config.levels)
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}: {args.out}")


def _file_or_folder(path: str) -> Path:
    """An argparse type: an npz file, or a new folder."""
    if Path(path).suffix:
        return outputs.output_file(".npz")(path)
    folder = outputs.output_folder(path)
    if folder.exists():
        raise argparse.ArgumentTypeError(f"{path!r} must be a new folder; it is there already")
    return folder


def write_pictures(path: Path, images: UInt8[np.ndarray, "N H W C"], levels: int) -> None:
    """Writes images as PNG files 000000.png, 000001.png, ... into a folder, which gets its name when it is complete."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by an interruption
    unfinished.mkdir(parents=True)
    for number, picture in enumerate(to_picture(images, levels)):
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(unfinished / f"{number:06}.png")
    unfinished.rename(path)


if __name__ == "__main__":
    command.run(main)
