"""Decodes what `compress` wrote:  pixel-rnn decompress --workdir=runs/digits --input=x.prnn --out=images.npz

The labels and context images of a conditional model are read from x.given.npz by default.
"""

from collections.abc import Sequence
from pathlib import Path

from pixel_rnn_jax.cli import command, flags, outputs, pictures
from pixel_rnn_jax.cli.compress import conditions_path
from pixel_rnn_jax.compression.codec import decompress
from pixel_rnn_jax.compression.container import Header, unpack
from pixel_rnn_jax.data.user_files import is_npz, read_conditions
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL
from pixel_rnn_jax.paths import write_whole
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes images and writes them as arrays or pictures."""
    parser = flags.make_parser("decompress", __doc__, "--workdir")
    parser.add_argument("--input", type=outputs.local_path, required=True, help="file that `compress` wrote")
    out = "npz file (array `images`), PNG file (for one image), or a new folder for PNG files"
    parser.add_argument("--out", type=_file_or_folder, required=True, help=out)
    given = "npz file of labels and context (default: x.given.npz for x.prnn)"
    parser.add_argument("--given", type=outputs.local_path, help=given)
    args = parser.parse_args(argv)
    blob = args.input.read_bytes()
    _check_output(args.out, unpack(blob)[0])
    model, params, _ = load_run(args.workdir)
    conditions = UNCONDITIONAL
    if args.given is not None or model.config.num_classes or model.config.context_channels:
        path = args.given or conditions_path(args.input)
        if not path.is_file():
            raise InputError(f"the model is conditional: --given must name its labels or context; there is no file {path}.")
        conditions = read_conditions(path)
    images = decompress(model, params, blob, *conditions)
    if is_npz(args.out):
        outputs.write_arrays(args.out, images=images)
    elif args.out.suffix:
        write_whole(args.out, pictures.png_bytes(pictures.exact_pictures(images[0], model.config.levels)))
    else:
        names = pictures.picture_names(len(images))
        pictures.write_pictures(args.out, images, model.config.levels, names)
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}: {args.out}")


def _file_or_folder(path: str) -> Path:
    """An argparse type: an npz file, a PNG file, or a new folder."""
    if Path(path).suffix:
        return outputs.output_file(".npz", ".png")(path)
    return pictures.new_folder(path)


def _check_output(path: Path, header: Header) -> None:
    """Raises `InputError` unless this kind of file can hold the images."""
    if is_npz(path):
        return
    pictures.check_channels(header.channels, f"--out={path}")
    if path.suffix and header.num != 1:
        raise InputError(f"--out={path} holds one image; there are {header.num}: name a new folder, or an npz file.")


if __name__ == "__main__":
    command.run(main)
