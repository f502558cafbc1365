"""Lossless compression: images are coded by the model's own conditionals, by a range coder (constriction's).

Coder and decoder run the same compiled step, `incremental.visit`, on the same batches: the numbers that a value's interval is
made of must be the same to the last bit. All images share one stream. A range coder is a queue: what is coded first is decoded
first, so nothing need be kept to be coded backwards.
"""

import dataclasses
import functools
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import constriction
import flax.linen as nn
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, UInt8
from tqdm import tqdm

from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.fingerprint import fingerprint, this_platform
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.incremental import Memory, finish_row, start, visit, write
from pixel_rnn_jax.prnn_file import Header, checksum, pack, unpack
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.tiles import cut, join

BATCH_SIZE = 100
MAX_MEMORY = 4 * 2**30  # bytes that a batch may need; so a header cannot make a reader ask for more
PRECISION = 24  # bits in which constriction holds probabilities; every value keeps one above 0
FAMILY = constriction.stream.model.Categorical(perfect=False)  # the faster of its two ways to round them


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
    images = np.asarray(images).astype(np.uint8)
    header = _plan(model, params, images.shape[:3], batch_size, tile)
    header = dataclasses.replace(
        header, model_hash=fingerprint(model, params), images_checksum=checksum(images.tobytes()), platform=this_platform()
    )
    tiles = cut(images, (header.tile_height, header.tile_width))
    encoder = constriction.stream.queue.RangeEncoder()
    with _progress(header, "compressing") as bar:
        for batch, count in _batches(header):
            batch[:count], tiles = tiles[:count], tiles[count:]
            for place, probabilities in _visits(model, params, batch, count, bar):
                encoder.encode(batch[place][:count].astype(np.int32), FAMILY, probabilities)
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
    _check_memory(header, model, params)
    there = f"it was compressed on [{header.platform}], this is [{this_platform()}]"
    if header.platform != this_platform():
        warnings.warn(f"the file may not decode here: {there}.", stacklevel=2)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    # The header's word is not enough to ask for memory for all images, nor to go on when the payload is used up. What the
    # coder's rounding may cost is a small part of the margin.
    tiles, bits_left = [], 1.1 * 8 * len(payload) + 128
    try:
        with _progress(header, "decompressing") as bar:
            for batch, count in _batches(header):
                for place, probabilities in _visits(model, params, batch, count, bar):
                    values = decoder.decode(FAMILY, probabilities)
                    batch[place][:count] = values
                    held = np.clip(np.float64(probabilities[np.arange(count), values]), 2**-PRECISION, 1 - 2**-PRECISION)
                    bits_left += np.log2(held).sum()
                    if bits_left < 0:
                        raise InputError(f"the file does not decode here, it holds less than its header says: {there}.")
                tiles.append(batch[:count])
    except AssertionError as error:  # what constriction raises
        raise InputError(f"the file does not decode here ({error}): {there}.") from None
    none = np.empty((0, header.tile_height, header.tile_width, header.channels), np.uint8)
    images = join(np.concatenate([none, *tiles]), header.num, (header.height, header.width))
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
    """Estimates how long it takes to compress (or decompress) images, once compiled, from a few visits.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      shape: number, height and width of the images.
      batch_size: as for `compress`.
      tile: as for `compress`.
    """
    header = _plan(model, params, shape, batch_size, tile)
    size = header.batch_size
    encoder, values, place = constriction.stream.queue.RangeEncoder(), np.zeros(size, np.uint8), _place(0, 0, 0)
    memory = _start(model, params, (size, header.tile_height, header.tile_width))

    def visit_one(memory):
        memory, probabilities = _visit(model, params, memory, *place)
        encoder.encode(values.astype(np.int32), FAMILY, np.asarray(probabilities))
        return jax.block_until_ready(_write(model, memory, *place, values))

    seconds = {}
    for name, step in (
        ("visit", visit_one),
        ("row", lambda memory: jax.block_until_ready(_finish_row(model, params, memory))),
    ):
        times = []
        for _ in range(6):  # the first one compiles
            begin = time.perf_counter()
            memory = step(memory)
            times.append(time.perf_counter() - begin)
        seconds[name] = float(np.median(times[1:]))
    return count_rows(header) * (seconds["row"] + header.tile_width * header.channels * seconds["visit"])


def count_rows(header: Header) -> int:
    """Number of rows of pixels that are visited, in all batches of tiles."""
    return -(-header.num_tiles // header.batch_size) * header.tile_height


def _plan(model: nn.Module, params: Any, shape: tuple[int, int, int], batch_size: int, tile: Sequence[int] | None) -> Header:
    """How images are cut into tiles and batches, as a header that lacks its hashes; checked."""
    num, height, width = shape
    if tile is not None:
        if not isinstance(tile, Sequence) or len(tile) != 2:
            raise InputError(f"tile must be (height, width); got {tile}.")
        check_integer("tile height", tile[0], 1)
        check_integer("tile width", tile[1], 1)
    check_integer("batch_size", batch_size, 1)
    tile_height, tile_width = np.minimum(tile or (height, width), (height, width)).tolist()
    sizes = (num, height, width, model.config.channels, model.config.levels)
    header = Header(*sizes, 1, tile_height, tile_width, model_hash=b"", images_checksum=b"", platform="")
    header = dataclasses.replace(header, batch_size=max(1, min(batch_size, header.num_tiles)))
    header.check()
    _check_memory(header, model, params)
    return header


def _check_memory(header: Header, model: nn.Module, params: Any) -> None:
    size = (header.batch_size, header.tile_height, header.tile_width)
    arrays = jax.tree.leaves(jax.eval_shape(functools.partial(start, model, shape=size), params))
    needed = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
    if needed > MAX_MEMORY:
        raise InputError(
            f"a batch of {size[0]} images of {size[1]}x{size[2]} pixels must need at most {MAX_MEMORY / 2**30:.0f} GiB of"
            f" memory; it needs {needed / 2**30:.1f}. Compress in tiles, or in smaller batches."
        )


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


def _batches(header: Header) -> Iterator[tuple[UInt8[np.ndarray, "B h w C"], int]]:
    """An array for each batch of tiles, and how many of them there are: the last batch need not be full."""
    shape = (header.batch_size, header.tile_height, header.tile_width, header.channels)
    for first in range(0, header.num_tiles, header.batch_size):
        yield np.zeros(shape, np.uint8), min(header.batch_size, header.num_tiles - first)


def _visits(
    model: nn.Module, params: Any, images: UInt8[np.ndarray, "B h w C"], count: int, bar: tqdm
) -> Iterator[tuple[tuple[slice, int, int, int], Float32[np.ndarray, "count levels"]]]:
    """The loop of coder and decoder: gives each place and its probabilities, and then reads the values there.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      images: a batch; a decoder writes its values into it, place by place.
      count: how many of them there are.
      bar: counts rows.
    """
    _, height, width, channels = images.shape
    params = jax.device_put(params)
    memory = _start(model, params, images.shape[:3])
    for row in range(height):
        for column, channel in np.ndindex(width, channels):
            memory, probabilities = _visit(model, params, memory, *_place(row, column, channel))
            probabilities = np.asarray(probabilities)[:count]
            if not np.isfinite(probabilities).all():
                raise InputError("the model's probabilities are not finite: its parameters are damaged.")
            place = (slice(None), row, column, channel)
            yield place, probabilities
            memory = _write(model, memory, *_place(row, column, channel), images[place])
        memory = _finish_row(model, params, memory)
        bar.update()


def _place(*indices: int) -> tuple[np.int32, ...]:
    # Of one type, so that what is compiled is compiled once.
    return tuple(map(np.int32, indices))


def _progress(header: Header, description: str) -> tqdm:
    return progress_bar(count_rows(header), unit="row", description=description, delay=2.0, leave=False)


_start = jax.jit(start, static_argnames=("model", "shape"))
_write = jax.jit(write, static_argnames="model", donate_argnames="memory")
_finish_row = jax.jit(finish_row, static_argnames="model", donate_argnames="memory")


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memory")
def _visit(
    model: nn.Module, params: Any, memory: Memory, row: ArrayLike, column: ArrayLike, channel: ArrayLike
) -> tuple[Memory, Float32[Array, "B levels"]]:
    memory, logits = visit(model, params, memory, row, column, channel)
    return memory, jax.nn.softmax(logits)
