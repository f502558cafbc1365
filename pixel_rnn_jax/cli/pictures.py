"""Folders that commands write, with a picture for each image."""

import argparse
import contextlib
import io
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer, UInt, UInt16
from PIL import Image

from pixel_rnn_jax.cli import outputs
from pixel_rnn_jax.data import ImageSet
from pixel_rnn_jax.data.decode import MODES
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import to_picture, value_type
from pixel_rnn_jax.plots import save_map, to_rgb
from pixel_rnn_jax.progress import progress_bar

SHOWN = 0.999  # share of the pixels that lie within the colour bar of maps; the few others would make all of these dark

HELP = "also write the images to this new folder, a PNG file each, not enlarged, named by number and class"


def new_folder(path: str) -> Path:
    """An argparse type: a folder that can be created."""
    folder = outputs.output_folder(path)
    if folder.exists():
        raise argparse.ArgumentTypeError(f"{path!r} must be a new folder; it is there already")
    return folder


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write files into, which gets its name when it is complete."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by an interruption
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(path)


def check_channels(channels: int, flag: str) -> None:
    """Raises `InputError` unless pictures can have so many channels; `flag` asks for them."""
    if channels not in MODES:
        known = " or ".join(map(str, MODES))
        raise InputError(f"{flag}: pictures must have {known} channels; these have {channels}. An npz file holds any number.")


def exact_pictures(images: UInt[np.ndarray, "*N H W C"], levels: int) -> UInt[np.ndarray, "*N H W C"]:
    """Pictures that hold all levels, and that `--input` reads: up to 256 spread over 8 bits, more as they are in 16 bits."""
    return to_picture(images, levels) if value_type(levels) == np.uint8 else images


def png_bytes(picture: UInt[np.ndarray, "H W C"]) -> bytes:
    """A PNG file of one picture, with as many bits as it has."""
    if picture.dtype == np.uint16 and picture.shape[-1] > 1:
        return _png_of_16_bit_colours(picture)
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()


def _png_of_16_bit_colours(picture: UInt16[np.ndarray, "H W C"]) -> bytes:
    """Pillow writes none."""
    height, width, channels = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = np.pad(picture.astype(">u2").reshape(height, -1).view(np.uint8), ((0, 0), (1, 0)))  # each begins with its filter, 0
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def picture_names(num: int, labels: Integer[np.ndarray, " num"] | None = None, classes: Sequence[str] = ()) -> list[str]:
    """The names of pictures: numbers from 000000 on and, if there are labels, the classes: 000000_cat or 000000_3."""
    names = [f"{number:06}" for number in range(num)]
    if labels is None:
        return names
    of_images = [classes[label].replace("/", "-") for label in labels]
    return [f"{name}_{of_image}" for name, of_image in zip(names, of_images, strict=True)]


def write_pictures(path: Path, images: UInt[np.ndarray, "N H W C"], levels: int, names: Sequence[str]) -> None:
    """Writes images into a new folder, at their own size, as PNG files of these names."""
    with whole_folder(path) as folder:
        for name, picture in zip(names, exact_pictures(images, levels), strict=True):
            (folder / f"{name}.png").write_bytes(png_bytes(picture))


def write_maps(path: Path, names: Sequence[str], images: ImageSet, nats: Float[np.ndarray, "N H W C"], levels: int) -> None:
    """Writes maps of how unexpected each pixel is into a new folder: numbered pictures, and the arrays in maps.npz."""
    pixels = nats.sum(-1)
    most = float(np.quantile(pixels, SHOWN))
    with whole_folder(path) as folder, progress_bar(len(names), unit="map", description="drawing maps", delay=2.0) as bar:
        outputs.write_arrays(folder / "maps.npz", nats=nats, names=np.array(names))
        for number, (name, image_pixels) in enumerate(zip(names, pixels, strict=True)):
            (rgb,) = to_rgb(images[np.array([number])], levels)
            title = f"{name}: {image_pixels.sum():.2f} nats"
            save_map(folder / f"{number:06}.png", rgb, image_pixels, most=most, title=title)
            bar.update()
