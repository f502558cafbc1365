"""Decodes what `compress` wrote:  python -m experiments.decompress --workdir=runs/digits --input=x.prnn --out=images.npz

The labels and context images of a conditional model are read from x.given.npz by default.
"""

import argparse
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.cli.compress import conditions_path
from pixel_rnn_jax.compression.codec import decompress
from pixel_rnn_jax.compression.container import Header, unpack
from pixel_rnn_jax.data.inputs import read_conditions
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.paths import write_whole
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes images and writes them as arrays or pictures."""
    parser = flags.make_parser("decompress", __doc__)
    parser.add_argument("--input", type=Path, required=True, help="file that `compress` wrote")
    parser.add_argument(
        "--out",
        type=_file_or_folder,
        required=True,
        help="npz file (array `images`), npy file, PNG file (for one image), or a new folder for PNG files",
    )
    parser.add_argument("--given", type=Path, help="npz file of labels and context (default: x.given.npz for x.prnn)")
    args = parser.parse_args(argv)
    if not args.input.is_file():
        raise InputError(f"--input must be a file that `compress` wrote; there is none at {str(args.input)!r}.")
    model, params, _ = load_run(args.workdir)
    blob = args.input.read_bytes()
    check_output(args.out, unpack(blob)[0])
    images = decompress(model, params, blob, *open_conditions(args, model.config))
    write_images(args.out, images, model.config.levels)
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}: {args.out}")


def open_conditions(args: argparse.Namespace, config: ModelConfig) -> Conditions:
    """The labels and context of the images, if the model is conditional."""
    path = args.given or conditions_path(args.input)
    if args.given is None and not (config.num_classes or config.context_channels):
        return UNCONDITIONAL
    if not path.is_file():
        raise InputError(f"the model is conditional: --given must be the file of labels or context; there is none at {path}.")
    return read_conditions(path)


def _file_or_folder(path: str) -> Path:
    """An argparse type: a path that `write_images` can write to."""
    if Path(path).suffix:
        return outputs.output_file(".npz", ".npy", ".png")(path)
    folder = outputs.output_folder(path)
    if folder.exists():
        raise argparse.ArgumentTypeError(f"{path!r} must be a new folder; it is there already")
    return folder


def check_output(path: Path, header: Header) -> None:
    """Raises `InputError` unless this kind of file can hold the images."""
    if path.suffix.lower() in (".npz", ".npy"):
        return
    if header.channels not in (1, 3):
        raise InputError(f"--out must be an npz or npy file for images of {header.channels} channels; got {str(path)!r}.")
    if path.suffix and header.num != 1:
        raise InputError(f"--out must be a folder or an npz or npy file for {header.num} images; got {str(path)!r}.")


def write_images(path: Path, images: UInt8[np.ndarray, "N H W C"], levels: int) -> None:
    """Writes images in the format of the path's ending."""
    ending = path.suffix.lower()
    if ending == ".npz":
        outputs.write_arrays(path, images=images)
    elif ending == ".npy":
        file = io.BytesIO()
        np.save(file, images)
        write_whole(path, file.getvalue())
    elif ending == ".png":
        write_whole(path, _as_png(to_picture(images[0], levels)))
    else:
        unfinished = path.with_name(f"{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # left by an interruption
        unfinished.mkdir(parents=True)
        for number, picture in enumerate(to_picture(images, levels)):
            (unfinished / f"{number:06}.png").write_bytes(_as_png(picture))
        unfinished.rename(path)


def _as_png(picture: UInt8[np.ndarray, "H W C"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    command.run(main)
