"""Lossless compression: images are coded by the model's own conditionals, by a range coder (constriction's).

Coder and decoder run the same compiled step, `incremental.visit`, on the same batches: the numbers that a value's interval is
made of must be the same to the last bit. All images share one stream. A range coder is a queue: what is coded first is decoded
first, so nothing need be kept to be coded backwards.
"""

import dataclasses
import functools
import os
import platform as machine
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import constriction
import flax.linen as nn
import jax
import jaxlib
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, UInt8

from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.incremental import Memory, finish_row, start, visit, write
from pixel_rnn_jax.prnn_file import Header, checksum, pack, unpack
from pixel_rnn_jax.progress import progress_bar

BATCH_SIZE = 100
PRECISION = 24  # bits in which constriction holds probabilities; every value keeps one above 0
FAMILY = constriction.stream.model.Categorical(perfect=False)


def compress(
    model: nn.Module, params: Any, images: Images, *, batch_size: int = BATCH_SIZE, tile: Sequence[int] | None = None
) -> bytes:
    """Compresses images without loss, to about their negative log-likelihood under the model.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      images: integers [B, H, W, C] in [0, levels).
      batch_size: images at a time; decoding needs memory for as many.
      tile: height and width of tiles into which images are cut, each coded as an image of its own: for images much larger than
        those of the training.

    Returns:
      The bytes of a .prnn file. It is tied to this model, these parameters, and this platform; see `prnn_file`.

    Raises:
      InputError: (a ValueError) if the images have the wrong rank, type, channels or range, or sizes are not positive.
    """
    config = model.config
    check_images(images, levels=config.levels, channels=config.channels)
    check_integer("batch_size", batch_size, 1)
    images = np.asarray(images).astype(np.uint8)
    num, height, width, channels = images.shape
    tile_height, tile_width = (height, width) if tile is None else _check_tile(tile)
    tiles = cut(images, (tile_height, tile_width))
    header = Header(
        num, height, width, channels, config.levels, max(1, min(batch_size, len(tiles))), tile_height, tile_width,
        fingerprint(model, params), checksum(images.tobytes()), platform(),
    )  # fmt: skip
    header.check()
    encoder = constriction.stream.queue.RangeEncoder()

    def encode(place: tuple[slice, int, int, int], probabilities: Float32[np.ndarray, "B levels"]) -> UInt8[np.ndarray, " B"]:
        values = tiles[place]
        encoder.encode(values.astype(np.int32), FAMILY, probabilities)
        return values

    _visit_all(model, params, header, len(tiles), encode, "compressing")
    return pack(header, encoder.get_compressed().astype("<u4").tobytes())


def decompress(model: nn.Module, params: Any, blob: bytes) -> UInt8[np.ndarray, "B H W C"]:
    """Decodes what `compress` returned.

    Args:
      model: the same model.
      params: the same parameters.
      blob: the bytes of a .prnn file.

    Returns:
      The same images, bit for bit.

    Raises:
      InputError: (a ValueError) if the file is damaged or of another model, or if this platform's numbers are not those of the
        one that compressed: never are wrong images returned.

    Warns:
      UserWarning: if the platform is another one.
    """
    header, payload = unpack(blob)
    _check_model(header, model, params)
    there = f"it was compressed on [{header.platform}], this is [{platform()}]"
    if header.platform != platform():
        warnings.warn(f"the file may not decode here: {there}.", stacklevel=2)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    count = header.num * len(_starts(header.height, header.tile_height)) * len(_starts(header.width, header.tile_width))
    batches: dict[int, np.ndarray] = {}  # made one by one: a header's word is not enough to ask for memory
    bits_left = 1.1 * 8 * len(payload) + 128  # nor to go on when the payload is used up; with a margin for its rounding

    def decode(place: tuple[slice, int, int, int], probabilities: Float32[np.ndarray, "B levels"]) -> UInt8[np.ndarray, " B"]:
        nonlocal bits_left
        batch, *at = place
        values = decoder.decode(FAMILY, probabilities)
        bits_left += np.log2(np.maximum(probabilities[np.arange(len(values)), values], 2.0**-PRECISION)).sum()
        if bits_left < 0:
            raise InputError(f"the file does not decode here, it holds less than its header says: {there}.")
        shape = (len(values), header.tile_height, header.tile_width, header.channels)
        batches.setdefault(batch.start, np.empty(shape, np.uint8))[:, *at] = values
        return values.astype(np.uint8)

    try:
        _visit_all(model, params, header, count, decode, "decompressing")
    except AssertionError as error:  # what constriction raises
        raise InputError(f"the file does not decode here ({error}): {there}.") from None
    none = np.empty((0, header.tile_height, header.tile_width, header.channels), np.uint8)
    images = join(np.concatenate([none, *batches.values()]), header.num, (header.height, header.width))
    if checksum(images.tobytes()) != header.images_checksum:
        raise InputError(f"the file does not decode here, the images' checksum is another one: {there}.")
    return images


def seconds_to_code(
    model: nn.Module,
    params: Any,
    shape: tuple[int, int, int],
    *,
    batch_size: int = BATCH_SIZE,
    tile: Sequence[int] | None = None,
) -> float:
    """Estimates how long it takes to compress (or decompress) images, from a few visits.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      shape: number, height and width of the images.
      batch_size: as for `compress`.
      tile: as for `compress`.
    """
    num, *size = shape
    tile_height, tile_width = size if tile is None else _check_tile(tile)
    tiles = num * len(_starts(size[0], tile_height)) * len(_starts(size[1], tile_width))
    batch = max(1, min(batch_size, tiles))
    memory = _start(model, params, (batch, tile_height, tile_width))
    place = tuple(map(np.int32, (0, 0, 0)))
    seconds = []
    for _ in range(6):  # the first one compiles
        begin = time.perf_counter()
        memory, probabilities = _visit(model, params, memory, *place)
        np.asarray(probabilities)
        memory = _write(model, memory, *place, np.zeros(batch, np.uint8))
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[1:])) * -(-tiles // batch) * tile_height * tile_width * model.config.channels


def fingerprint(model: nn.Module, params: Any) -> bytes:
    """A hash, of 16 bytes, of all that a model's numbers depend on: its configuration and its parameters."""
    config = dataclasses.asdict(model.config)
    for name in ("dropout", "remat"):  # of the training only
        del config[name]
    parts = [repr(sorted(config.items()))]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        leaf = np.asarray(leaf)
        parts.append(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape} {checksum(leaf.tobytes(), 16).hex()}")
    return checksum("\n".join(parts).encode(), 16)


def platform() -> str:
    """What the last bits of the numbers may depend on, in words."""
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"jaxlib {jaxlib.__version__}, {device.platform} {device.device_kind}, {_processor()}, {cores} cores"


def cut(images: UInt8[np.ndarray, "N H W C"], tile: tuple[int, int]) -> UInt8[np.ndarray, "tiles h w C"]:
    """Cuts images into tiles, row by row; the last ones of a row or a column repeat the image's last pixels to be full."""
    num, height, width, channels = images.shape
    rows, columns = len(_starts(height, tile[0])), len(_starts(width, tile[1]))
    over = (0, 0), (0, rows * tile[0] - height), (0, columns * tile[1] - width), (0, 0)
    tiles = np.pad(images, over, mode="edge").reshape(num, rows, tile[0], columns, tile[1], channels)
    return tiles.swapaxes(2, 3).reshape(-1, *tile, channels)


def join(tiles: UInt8[np.ndarray, "tiles h w C"], num: int, size: tuple[int, int]) -> UInt8[np.ndarray, "num H W C"]:
    """The inverse of `cut`."""
    _, tile_height, tile_width, channels = tiles.shape
    rows, columns = len(_starts(size[0], tile_height)), len(_starts(size[1], tile_width))
    images = tiles.reshape(num, rows, columns, tile_height, tile_width, channels).swapaxes(2, 3)
    return images.reshape(num, rows * tile_height, columns * tile_width, channels)[:, : size[0], : size[1]]


def _check_model(header: Header, model: nn.Module, params: Any) -> None:
    config = model.config
    for name in ("levels", "channels"):
        if getattr(header, name) != getattr(config, name):
            raise InputError(
                f"the file holds images of {getattr(header, name)} {name}, the model is one of {getattr(config, name)}."
            )
    if header.model_hash != fingerprint(model, params):
        raise InputError(
            f"the file was compressed by another model: its hash is {header.model_hash.hex()}, this one's"
            f" {fingerprint(model, params).hex()}."
        )


def _visit_all(
    model: nn.Module,
    params: Any,
    header: Header,
    count: int,
    code: Callable[[tuple[slice, int, int, int], Float32[np.ndarray, "B levels"]], UInt8[np.ndarray, " B"]],
    description: str,
) -> None:
    """The loop of coder and decoder: gives `code` a place and its probabilities, and gets the values there."""
    size, height, width = header.batch_size, header.tile_height, header.tile_width
    params = jax.device_put(params)
    with progress_bar(-(-count // size) * height, unit="row", description=description, delay=2.0, leave=False) as bar:
        for first in range(0, count, size):
            batch = slice(first, min(first + size, count))
            full = np.zeros(size, np.uint8)  # of the last batch, a part is coded only
            memory = _start(model, params, (size, height, width))
            for row in range(height):
                for column, channel in np.ndindex(width, header.channels):
                    place = tuple(map(np.int32, (row, column, channel)))
                    memory, probabilities = _visit(model, params, memory, *place)
                    probabilities = np.asarray(probabilities)[: batch.stop - first]
                    if not np.isfinite(probabilities).all():
                        raise InputError("the model's probabilities are not finite: its parameters are damaged.")
                    full[: batch.stop - first] = code((batch, row, column, channel), probabilities)
                    memory = _write(model, memory, *place, full)
                memory = _finish_row(model, params, memory)
                bar.update()


_start = jax.jit(start, static_argnames=("model", "shape"))
_write = jax.jit(write, static_argnames="model", donate_argnames="memory")
_finish_row = jax.jit(finish_row, static_argnames="model", donate_argnames="memory")


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memory")
def _visit(
    model: nn.Module, params: Any, memory: Memory, row: ArrayLike, column: ArrayLike, channel: ArrayLike
) -> tuple[Memory, Float32[Array, "B levels"]]:
    memory, logits = visit(model, params, memory, row, column, channel)
    return memory, jax.nn.softmax(logits)


def _check_tile(tile: Sequence[int]) -> tuple[int, int]:
    if not isinstance(tile, Sequence) or len(tile) != 2:
        raise InputError(f"tile must be (height, width); got {tile}.")
    for name, number in zip(("tile height", "tile width"), tile, strict=True):
        check_integer(name, number, 1)
    return tuple(tile)


def _starts(length: int, tile: int) -> range:
    return range(0, length, tile)


@functools.cache
def _processor() -> str:
    """The processor's name: what XLA compiles for depends on it. Where the system does not tell it, the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return machine.machine()
