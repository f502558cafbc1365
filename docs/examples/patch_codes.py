"""Codes of image patches, by k-means: a VQ-VAE's place is taken by scikit-learn, and its decoder by a table of centres.

    python docs/examples/patch_codes.py encode --source=tfds:mnist --out=codes.npz --codebook=codebook.npz
    python docs/examples/patch_codes.py decode --input=drawn.npz --codebook=codebook.npz --out=drawn.png

`encode` cuts images into patches, finds centres among those of the training images, and writes the number of each nearest
centre. `decode` puts the centres back into their places.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from einops import rearrange
from sklearn.cluster import MiniBatchKMeans

from pixel_rnn_jax import InputError, ModelConfig
from pixel_rnn_jax.cli import command
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.plots import save_sheet, to_rgb


def cut(images: np.ndarray, side: int) -> np.ndarray:
    """Cuts images [N, H, W, C] into patches [N, rows, columns, side * side * C]."""
    return rearrange(images, "n (rows h) (columns w) c -> n rows columns (h w c)", h=side, w=side)


def encode(args: argparse.Namespace) -> None:
    """Writes the codes of all splits, integers [N, rows, columns] with their labels, and the centres."""
    model = ModelConfig(layer="pixel_cnn", levels=256, channels=args.channels, num_classes=10 * args.labels)
    data = Dataset(DataConfig(source=args.source, data_dir=args.data_dir), model)
    kmeans = MiniBatchKMeans(args.centres, batch_size=4096, n_init=1, max_iter=30, random_state=0)
    if any(side % args.patch for side in data.image_shape[:2]):
        raise InputError(f"--patch must divide height and width of the images, {data.image_shape[:2]}; got {args.patch}.")
    patches = cut(data.images("train"), args.patch)
    kmeans.fit(patches.reshape(-1, patches.shape[-1]).astype(np.float32))
    centres = np.round(kmeans.cluster_centers_).astype(np.uint8)
    arrays = {}
    for split in data.splits:
        patches = cut(data.images(split), args.patch)
        codes = kmeans.predict(patches.reshape(-1, patches.shape[-1]).astype(np.float32)).reshape(patches.shape[:3])
        arrays[split] = codes.astype(np.uint16)
        error = np.sqrt(np.mean((centres[codes].astype(np.float32) - patches) ** 2))
        if args.labels:
            arrays[f"{split}_labels"] = data.examples(split).conditions.labels
        print(f"{split}: codes {codes.shape} of {args.centres}; their pictures differ by {error:.1f} of 255 (RMS)")
    np.savez_compressed(args.out, **arrays)
    np.savez_compressed(args.codebook, centres=centres.reshape(-1, args.patch, args.patch, args.channels))


def decode(args: argparse.Namespace) -> None:
    """Writes the pictures of codes, as a sheet and perhaps as an array."""
    with np.load(args.codebook) as codebook:
        centres = codebook["centres"]
    with np.load(args.input) as given:
        if "completions" in given:  # of shape [N, completions, rows, columns, 1]; a row of the sheet ends with the original
            codes = np.concatenate([given["completions"], given["originals"][:, None]], axis=1)
            columns, codes = codes.shape[1], codes.reshape(-1, *codes.shape[2:])
        else:
            codes, columns = given[args.array], args.columns
    codes = codes[..., 0] if codes.ndim == 4 else codes
    if codes.ndim != 3 or codes.min() < 0 or codes.max() >= len(centres):
        raise InputError(
            f"codes must be integers [N, rows, columns] in [0, {len(centres)}); got shape {codes.shape}, values from"
            f" {codes.min()} to {codes.max()}."
        )
    pictures = rearrange(centres[codes[: args.num]], "n rows columns h w c -> n (rows h) (columns w) c")
    save_sheet(args.out, to_rgb(pictures, 256), columns=columns)
    if args.npz:
        np.savez_compressed(args.npz, images=pictures)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    encoder = commands.add_parser("encode", help="images to codes")
    encoder.set_defaults(run=encode)
    encoder.add_argument("--source", default="tfds:mnist", help="as data.source, with 256 values")
    encoder.add_argument("--data_dir", help="as data.data_dir")
    encoder.add_argument("--channels", type=int, default=1)
    encoder.add_argument("--patch", type=int, default=4, help="height and width of a patch")
    encoder.add_argument("--centres", type=int, default=512, help="number of codes")
    encoder.add_argument("--labels", action="store_true", help="also write the labels, of 10 classes")
    encoder.add_argument("--out", required=True, help="npz file of codes by split")
    encoder.add_argument("--codebook", required=True, help="npz file of the centres")
    decoder = commands.add_parser("decode", help="codes to images")
    decoder.set_defaults(run=decode)
    decoder.add_argument("--input", required=True, help="npz file that `sample` or `complete` wrote, or of codes by split")
    decoder.add_argument("--array", default="images", help="its array of codes")
    decoder.add_argument("--num", type=int, help="only the first images")
    decoder.add_argument("--codebook", required=True, help="npz file of the centres")
    decoder.add_argument("--columns", type=int, default=10)
    decoder.add_argument("--out", required=True, help="PNG file for a sheet")
    decoder.add_argument("--npz", help="also write the pictures to this file, as the array `images`")
    args = parser.parse_args(argv)
    args.run(args)


if __name__ == "__main__":
    command.run(main)
