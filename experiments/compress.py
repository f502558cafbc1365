"""Compresses images without loss:  python -m experiments.compress --workdir=runs/digits --input=pictures --out=x.prnn --verify

The file is tied to the model and to the platform: `decompress` needs the same parameters, and a processor and libraries that
round in the same way. It is no format for archives.
"""

import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import UInt8

from experiments import command
from pixel_rnn_jax.checkpoint import load_run
from pixel_rnn_jax.codec import BATCH_SIZE, compress, cut, decompress, seconds_to_code
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluate import log_probs
from pixel_rnn_jax.likelihood import bits_per_dim
from pixel_rnn_jax.picture_formats import encoded_sizes
from pixel_rnn_jax.prnn_file import unpack
from pixel_rnn_jax.sharding import make_mesh

PIXELS_AT_A_TIME = 2**16  # on each device, where the likelihood is computed to compare


def main(argv: Sequence[str] | None = None) -> None:
    """Compresses images, and prints how many bits they take, here and in other formats."""
    parser = command.make_parser("compress", __doc__)
    command.add_input_flags(parser, seed_of="the choice of images")
    parser.add_argument("--out", type=command.output_file, required=True, help="file to write, by custom *.prnn")
    parser.add_argument("--batch_size", type=command.positive, default=BATCH_SIZE, help="images at a time")
    parser.add_argument("--tile", type=command.image_size, metavar="H,W", help="cut images into tiles of this size")
    parser.add_argument("--verify", action="store_true", help="decode the file and compare, before it gets its name")
    command.add_json_flag(parser)
    args = parser.parse_args(argv)
    model, params, run = load_run(args.workdir)
    _, images = command.open_input(args.input, args, run, lossless=True)
    options = {"batch_size": args.batch_size, "tile": args.tile}
    estimate = seconds_to_code(model, params, images.shape[:3], **options)
    shape = "x".join(map(str, images.shape[1:]))
    print(f"compressing {len(images)} images of {shape}: about {readable(estimate)}{', twice' * args.verify}", file=sys.stderr)
    begin = time.perf_counter()
    blob = compress(model, params, images, **options)
    seconds = time.perf_counter() - begin

    unfinished = args.out.with_name(f"{args.out.name}.unfinished")
    unfinished.write_bytes(blob)
    if args.verify:
        verify(model, params, unfinished, images)
    os.replace(unfinished, args.out)
    sizes = compare(model, params, images, blob, args.tile)
    print_sizes(sizes, images)
    if args.json:
        command.write_json(
            args.json, {"num_images": len(images), "shape": images.shape[1:], "seconds": seconds, "bytes": sizes}
        )
    print(args.out, "(decoded and compared)" if args.verify else "")


def verify(model: nn.Module, params: Any, path: Path, images: UInt8[np.ndarray, "N H W C"]) -> None:
    """Raises `InputError`, and removes the file, unless it decodes to the images."""
    try:
        if not np.array_equal(decompress(model, params, path.read_bytes()), images):
            raise InputError("it decodes to other images")
    except InputError as error:
        path.unlink()
        raise InputError(f"the compressed file could not be decoded, and was not kept: {error}") from None


def compare(
    model: nn.Module, params: Any, images: UInt8[np.ndarray, "N H W C"], blob: bytes, tile: tuple[int, int] | None
) -> dict[str, float]:
    """Bytes that images take: as compressed, by the model's likelihood, and in other formats."""
    tiles = cut(images, tile or images.shape[1:3])
    mesh = make_mesh()
    batch_size = mesh.size * max(1, min(len(tiles), PIXELS_AT_A_TIME // math.prod(tiles.shape[1:3])))
    log_prob = float(log_probs(model, params, tiles, batch_size=batch_size, mesh=mesh).sum(dtype=np.float64))
    _, payload = unpack(blob)
    return {
        "file": len(blob),
        "file without header and checksum": len(payload),
        "negative log-likelihood": bits_per_dim(log_prob, tiles.shape[1:]) * math.prod(tiles.shape[1:]) / 8,
        **{f"lossless {name}": size for name, size in encoded_sizes(images, model.config.levels).items()},
        "8 bits each": images.size,
    }


def print_sizes(sizes: dict[str, float], images: UInt8[np.ndarray, "N H W C"]) -> None:
    """Prints bytes as a table, with what they are in bits per sub-pixel."""
    for name, size in sizes.items():
        print(f"{name:32} {size:12,.0f} bytes {8 * size / images.size:8.4f} bits/dim")


def readable(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


if __name__ == "__main__":
    command.run(main)
