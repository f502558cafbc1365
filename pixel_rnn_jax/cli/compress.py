"""Compresses images without loss:  pixel-rnn compress --workdir=runs/digits --input=pictures --out=x.prnn --verify

The file is tied to the model and the platform: `decompress` needs the same parameters, and a processor and libraries that
round in the same way. Do not use it for archives. The labels and context images of a conditional model are written beside the
file, as x.given.npz.
"""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import UInt

from pixel_rnn_jax.cli import command, flags, inputs, outputs
from pixel_rnn_jax.compression.codec import BATCH_SIZE, compress, cut_conditions, decompress, seconds_to_code
from pixel_rnn_jax.compression.container import unpack
from pixel_rnn_jax.compression.picture_formats import encoded_sizes
from pixel_rnn_jax.compression.tiles import cut
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.paths import write_whole
from pixel_rnn_jax.storage.load import load_run

PIXELS_AT_A_TIME = 2**16  # on each device, for the likelihood that the size is compared with


def main(argv: Sequence[str] | None = None) -> None:
    """Compresses images and prints their size, in this and other formats."""
    parser = flags.make_parser("compress", __doc__, "--workdir", *(flag for flag in flags.INPUT if flag != "--size"), "--json")
    parser.set_defaults(size=None)
    parser.add_argument("--out", type=outputs.output_file(".prnn"), required=True, help="file to write")
    parser.add_argument("--batch_size", type=flags.positive, default=BATCH_SIZE, help="images at a time")
    parser.add_argument("--tile", type=flags.image_size, metavar="H,W", help="cut images into tiles of this size")
    parser.add_argument("--verify", action="store_true", help="decode the file and compare, before writing it")
    args = parser.parse_args(argv)
    model, params, run = load_run(args.workdir)
    _, _, images, conditions = inputs.open_input(args.input, args, run, lossless=True)
    options = {"batch_size": args.batch_size, "tile": args.tile}
    estimate = seconds_to_code(model, params, images.shape[:3], conditions, **options)
    shape = "x".join(map(str, images.shape[1:]))
    twice = ", twice," * args.verify
    print(f"compressing {len(images)} images of {shape}: about {estimate:,.0f} s{twice} once compiled", file=sys.stderr)
    begin = time.perf_counter()
    blob = compress(model, params, images, *conditions, **options)
    seconds = time.perf_counter() - begin

    if args.verify:
        verify(model, params, blob, images, conditions)
    arrays, path = inputs.present(conditions), conditions_path(args.out)
    if arrays:
        outputs.write_arrays(path, **arrays)
    write_whole(args.out, blob)
    sizes = compare(model, params, images, conditions, blob)
    if arrays:
        sizes["labels and context"] = path.stat().st_size
    for name, size in sizes.items():
        print(f"{name:32} {size:12,.0f} bytes {8 * size / images.size:8.4f} bits/dim")
    if args.json:
        figures = {"num_images": len(images), "shape": images.shape[1:], "seconds": seconds, "bytes": sizes}
        outputs.write_json(args.json, figures)
    print(f"{args.out}{' (decoded and compared)' * args.verify}{f' and {path}' if arrays else ''}")


def conditions_path(path: Path) -> Path:
    """Path of the labels and context that belong to a compressed file."""
    return path.with_suffix(".given.npz")


def verify(model: nn.Module, params: Any, blob: bytes, images: UInt[np.ndarray, "N H W C"], conditions: Conditions) -> None:
    """Raises `InputError` unless the file decodes to the images."""
    try:
        if not np.array_equal(decompress(model, params, blob, *conditions), images):
            raise InputError("it decodes to other images")
    except InputError as error:
        raise InputError(f"the compressed file could not be decoded, and was not written: {error}") from None


def compare(
    model: nn.Module, params: Any, images: UInt[np.ndarray, "N H W C"], conditions: Conditions, blob: bytes
) -> dict[str, int | float]:
    """Sizes in bytes: of the file, of the negative log-likelihood of the same tiles, and of other formats."""
    header, payload = unpack(blob)
    tiles = cut(images, (header.tile_height, header.tile_width))
    mesh = make_mesh()
    batch_size = mesh.size * max(1, min(len(tiles), PIXELS_AT_A_TIME // math.prod(tiles.shape[1:3])))
    tile_conditions = cut_conditions(header, model.config, conditions)
    try:
        log_prob = Scorer(model, params, mesh, batch_size).log_probs(tiles, tile_conditions).sum(dtype=np.float64)
        likelihood = {"negative log-likelihood": bits_per_dim(float(log_prob), tiles.shape[1:]) * tiles[0].size / 8}
    except InputError as error:  # coding needs less memory
        print(f"note: the likelihood is not computed: {error}", file=sys.stderr)
        likelihood = {}
    return {
        "file": len(blob),
        "file without header and checksum": len(payload),
        **likelihood,
        **{f"lossless {name}": size for name, size in encoded_sizes(images, model.config.levels).items()},
        f"{8 * images.itemsize} bits each": images.nbytes,
    }


if __name__ == "__main__":
    command.run(main)
