"""Lossless compression: images are coded by the model's own conditionals, by a range coder (constriction's).

Coder and decoder run the same compiled step, `decoding.decode_step`, on the same batches: the numbers that make up a value's
interval must agree to the last bit. All images share one stream. A range coder is a queue: what is coded first is
decoded first, so nothing has to be kept and coded backwards.
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

from pixel_rnn_jax.compression.checksum import checksum
from pixel_rnn_jax.compression.container import Header, pack, unpack
from pixel_rnn_jax.compression.fingerprint import fingerprint, this_platform
from pixel_rnn_jax.compression.tiles import cut, join
from pixel_rnn_jax.errors import InputError, check_integer, check_size
from pixel_rnn_jax.generation.decoding import DecodeState, decode_step, finish_row, start, write
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions, check_conditions, plain
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import stages
from pixel_rnn_jax.models.params import check_params
from pixel_rnn_jax.progress import progress_bar

BATCH_SIZE = 100
MAX_MEMORY = 4 * 2**30  # bytes that a batch may need; so a header cannot make a reader ask for more
PRECISION = 24  # bits in which constriction holds probabilities; every value keeps one above 0
FAMILY = constriction.stream.model.Categorical(perfect=False)  # the faster of its two ways to round them


def compress(
    model: nn.Module,
    params: Any,
    images: Images,
    context: Any = None,
    labels: Any = None,
    *,
    batch_size: int = BATCH_SIZE,
    tile: Sequence[int] | Any = None,
) -> bytes:
    """Compresses images without loss, to about their negative log-likelihood under the model.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      images: integers [B, H, W, C] in [0, levels).
      context: images that the images are given, for a model that takes them; see `PixelRNN`. They are not in the
        file: `decompress` needs them, as it needs the labels.
      labels: integers [B] in [0, num_classes), for a class-conditional model.
      batch_size: images at a time; decoding needs memory for as many.
      tile: height and width of tiles into which images are cut, each coded as an image of its own: for images much larger than
        those of the training.

    Returns:
      The bytes of a .prnn file. It is tied to this model, these parameters, and this platform; see `prnn_file`.

    Raises:
      InputError: (a ValueError) if the parameters are of another model; if images, context or labels are missing or
        superfluous, or have the wrong rank, type, shape or range; or if sizes are not positive.
    """
    config, conditions = model.config, Conditions(context, labels)
    check_images(images, levels=config.levels, channels=config.channels)
    check_params(model, params)
    check_conditions(config, conditions, images.shape[:3])
    images, conditions = np.asarray(images).astype(np.uint8), plain(conditions)
    header = dataclasses.replace(
        _plan(model, params, images.shape[:3], conditions, batch_size, tile),
        model_hash=fingerprint(model, params),
        conditions_checksum=_checksum(conditions),
        images_checksum=checksum(images.tobytes()),
        platform=this_platform(),
    )
    tiles = cut(images, (header.tile_height, header.tile_width))
    encoder = constriction.stream.queue.RangeEncoder()
    with _progress(header, config, "compressing") as bar:
        for batch, count, given in _batches(header, config, conditions):
            batch[:count], tiles = tiles[:count], tiles[count:]
            for place, probabilities in _visits(model, params, batch, count, given, bar):
                encoder.encode(batch[place][:count].astype(np.int32), FAMILY, probabilities)
    return pack(header, encoder.get_compressed().astype("<u4").tobytes())


def decompress(
    model: nn.Module, params: Any, blob: bytes, context: Any = None, labels: Any = None
) -> UInt8[np.ndarray, "B H W C"]:
    """Decodes what `compress` returned.

    Args:
      model: the same model.
      params: the same parameters.
      blob: the bytes of a .prnn file.
      context: the same context.
      labels: the same labels.

    Returns:
      The same images, bit for bit.

    Raises:
      InputError: (a ValueError) if the file is damaged, of another model or another context or labels, or if this platform's
        numbers are not those of the one that compressed: never are wrong images returned.

    Warns:
      UserWarning: if the platform is another one.
    """
    if not isinstance(blob, bytes):
        raise InputError(f"blob must be the bytes of a .prnn file; got {type(blob).__name__}.")
    header, payload = unpack(blob)
    _check_model(header, model, params)
    conditions = Conditions(context, labels)
    check_conditions(model.config, conditions, (header.num, header.height, header.width))
    conditions = plain(conditions)
    if header.conditions_checksum != _checksum(conditions):
        raise InputError("context and labels must be those that the file was compressed with; they are others.")
    _check_memory(header, model, params, conditions)
    there = f"it was compressed on [{header.platform}], this is [{this_platform()}]"
    if header.platform != this_platform():
        warnings.warn(f"the file may not decode here: {there}.", stacklevel=2)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    # The header's word is not enough to ask for memory for all images, nor to go on when the payload is used up. What the
    # coder's rounding may cost is a small part of the margin.
    tiles, bits_left = [], 1.1 * 8 * len(payload) + 128
    try:
        with _progress(header, model.config, "decompressing") as bar:
            for batch, count, given in _batches(header, model.config, conditions):
                for place, probabilities in _visits(model, params, batch, count, given, bar):
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
    conditions: Conditions = UNCONDITIONAL,
    *,
    batch_size: int = BATCH_SIZE,
    tile: Sequence[int] | Any = None,
) -> float:
    """Estimates how long it takes to compress (or decompress) images, once compiled, from a few visits.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      shape: number, height and width of the images; at least one.
      conditions: what they are given.
      batch_size: as for `compress`.
      tile: as for `compress`.

    Returns:
      Seconds.
    """
    header = _plan(model, params, shape, conditions, batch_size, tile)
    encoder, place, seconds = constriction.stream.queue.RangeEncoder(), _place(0, 0, 0), 0.0
    tiles, size, given = next(_batches(header, model.config, plain(conditions)))
    values = np.zeros(size, np.uint8)
    for stage in stages(model.config):
        network, weights = stage.network, stage.params(params)
        height, width = header.tile_height // stage.stride, header.tile_width // stage.stride
        state = _start(network, weights, (size, height, width), stage.conditions(tiles, given))

        def visit_one(state, network=network, weights=weights):
            state, probabilities = _visit(network, weights, state, *place)
            encoder.encode(values.astype(np.int32), FAMILY, _finite(probabilities))
            return jax.block_until_ready(_write(network, state, *place, values))

        def finish_one(state, network=network, weights=weights):
            return jax.block_until_ready(_finish_row(network, weights, state, place[0]))

        for step, times_in_a_row in ((visit_one, width * header.channels), (finish_one, 1)):
            times = []
            for _ in range(6):  # the first one compiles
                begin = time.perf_counter()
                state = step(state)
                times.append(time.perf_counter() - begin)
            seconds += float(np.median(times[1:])) * times_in_a_row * height
    return seconds * count_batches(header)


def count_batches(header: Header) -> int:
    """Number of batches in which the tiles of all images are coded, by the header of their file."""
    return -(-header.num_tiles // header.batch_size)


def cut_conditions(header: Header, config: ModelConfig, conditions: Conditions) -> Conditions:
    """What each tile of the images is given.

    Args:
      header: with the sizes of images and tiles.
      config: of the model.
      conditions: of whole images.

    Returns:
      The part of the context that belongs to each tile, and the label of its image.
    """
    tiles_of_one = header.num_tiles // max(header.num, 1)
    context, labels = conditions
    if context is not None:
        context = cut(context, (header.tile_height // config.context_scale, header.tile_width // config.context_scale))
    return Conditions(context, None if labels is None else np.repeat(labels, tiles_of_one))


def _plan(
    model: nn.Module,
    params: Any,
    shape: tuple[int, int, int],
    conditions: Conditions,
    batch_size: int,
    tile: Sequence[int] | Any,
) -> Header:
    """How images are cut into tiles and batches, as a header that lacks its hashes; checked."""
    num, height, width = shape
    if tile is not None:
        tile = check_size("tile", tile)
    check_integer("batch_size", batch_size, 1)
    tile_height, tile_width = np.minimum(tile or (height, width), (height, width)).tolist()
    multiple = model.config.multiple
    if tile_height % multiple or tile_width % multiple:
        raise InputError(f"tiles must have sides that are multiples of {multiple}; got {tile_height}x{tile_width} pixels.")
    sizes = (num, height, width, model.config.channels, model.config.levels)
    hashes = {"model_hash": b"", "conditions_checksum": b"", "images_checksum": b""}
    header = Header(*sizes, 1, tile_height, tile_width, **hashes, platform="")
    header = dataclasses.replace(header, batch_size=max(1, min(batch_size, header.num_tiles)))
    header.check()
    _check_memory(header, model, params, conditions)
    return header


def _check_memory(header: Header, model: nn.Module, params: Any, conditions: Conditions) -> None:
    """Raises `InputError` if a batch's memory, at the largest size, would be too large."""
    size, scale = (header.batch_size, header.tile_height, header.tile_width), model.config.context_scale
    stage = stages(model.config)[-1]
    tiles = jax.ShapeDtypeStruct((*size, header.channels), np.uint8)
    sides = {4: (header.tile_height // scale, header.tile_width // scale), 1: ()}  # of a context, and of labels
    given = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct((size[0], *sides[array.ndim], *array.shape[3:]), array.dtype), conditions
    )

    def begin(params, tiles, given):
        return start(stage.network, stage.params(params), size, stage.conditions(tiles, given))

    arrays = jax.tree.leaves(jax.eval_shape(begin, params, tiles, given))
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


def _checksum(conditions: Conditions) -> bytes:
    return checksum(b"".join(array.tobytes() for array in jax.tree.leaves(conditions)))


def _batches(
    header: Header, config: ModelConfig, conditions: Conditions
) -> Iterator[tuple[UInt8[np.ndarray, "B h w C"], int, Conditions]]:
    """An array for each batch of tiles, how many there are (the last batch need not be full), and what they are given."""
    shape = (header.batch_size, header.tile_height, header.tile_width, header.channels)
    of_tiles = cut_conditions(header, config, conditions)
    for first in range(0, header.num_tiles, header.batch_size):
        numbers = np.minimum(np.arange(first, first + header.batch_size), header.num_tiles - 1)
        given = jax.tree.map(lambda array, numbers=numbers: array[numbers], of_tiles)
        yield np.zeros(shape, np.uint8), min(header.batch_size, header.num_tiles - first), given


def _visits(
    model: nn.Module, params: Any, images: UInt8[np.ndarray, "B h w C"], count: int, conditions: Conditions, bar: tqdm
) -> Iterator[tuple[tuple[slice, int, int, int], Float32[np.ndarray, "count levels"]]]:
    """The loop of coder and decoder: gives each place and its probabilities, and then reads the values there.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      images: a batch; a decoder writes its values into it, place by place.
      count: how many of them there are.
      conditions: what they are given.
      bar: counts rows.
    """
    params = jax.device_put(params)
    for stage in stages(model.config):
        network, weights, stride = stage.network, stage.params(params), stage.stride
        part = images[:, ::stride, ::stride]  # a view: what is decoded is there
        _, height, width, channels = part.shape
        drawn = stage.drawn(height, width)
        state = _start(network, weights, part.shape[:3], stage.conditions(images, conditions))
        for row in range(height):
            for column, channel in np.ndindex(width, channels):
                place = _place(row, column, channel)
                state, probabilities = _visit(network, weights, state, *place)
                if drawn[row, column]:
                    yield (slice(None), row * stride, column * stride, channel), _finite(probabilities)[:count]
                state = _write(network, state, *place, part[:, row, column, channel])
            state = _finish_row(network, weights, state, place[0])
            bar.update()


def _finite(probabilities: Float32[Array, "B levels"]) -> Float32[np.ndarray, "B levels"]:
    """Probabilities for the coder, which would take others for a defect of the program."""
    probabilities = np.asarray(probabilities)
    if not np.isfinite(probabilities).all():
        raise InputError("the model's probabilities are not finite: its parameters are damaged.")
    return probabilities


def _place(*indices: int) -> tuple[np.int32, ...]:
    # Of one type, so that what is compiled is compiled once.
    return tuple(map(np.int32, indices))


def _progress(header: Header, config: ModelConfig, description: str) -> tqdm:
    rows = count_batches(header) * sum(header.tile_height // stage.stride for stage in stages(config))
    return progress_bar(rows, unit="row", description=description, delay=2.0, leave=False)


_start = jax.jit(start, static_argnames=("model", "shape"))
_write = jax.jit(write, static_argnames="model", donate_argnames="state")
_finish_row = jax.jit(finish_row, static_argnames="model", donate_argnames="state")


@functools.partial(jax.jit, static_argnames="model", donate_argnames="state")
def _visit(
    model: nn.Module, params: Any, state: DecodeState, row: ArrayLike, column: ArrayLike, channel: ArrayLike
) -> tuple[DecodeState, Float32[Array, "B levels"]]:
    state, logits = decode_step(model, params, state, row, column, channel)
    return state, jax.nn.softmax(logits)
