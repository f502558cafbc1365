"""Lossless compression: a range coder (constriction's) codes images by the model's own conditionals.

Coder and decoder run the same compiled programs, those of `decoding`, on the same batches: the numbers that make up a value's
interval must agree to the last bit. All images share one stream. A range coder is a queue, what is coded first is decoded
first, so images are coded in the model's order.
"""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import constriction
import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Float32, Integer, UInt

from pixel_rnn_jax.compression.container import Header, pack, unpack
from pixel_rnn_jax.compression.fingerprint import checksum, fingerprint, this_platform
from pixel_rnn_jax.compression.tiles import cut, join
from pixel_rnn_jax.errors import InputError, check_integer, check_size
from pixel_rnn_jax.generation.decoding import DecodeState, decode_row, scan_on_host, start
from pixel_rnn_jax.images import Images, check_images, value_type
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions, check_conditions, plain
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import Stage, stages
from pixel_rnn_jax.models.output import make_output
from pixel_rnn_jax.models.params import check_params
from pixel_rnn_jax.progress import progress_bar

BATCH_SIZE = 100
MAX_MEMORY = 4 * 2**30  # bytes of a batch's decode state, so that no header makes a reader ask for more
FAMILY = constriction.stream.model.Categorical(perfect=False)  # the faster of its two ways to round probabilities

# Encodes the values of one sub-pixel, a view into a batch, by their probabilities; or decodes them, and sets the view.
Coder = Callable[[UInt[np.ndarray, " count"], Float32[np.ndarray, "count levels"]], None]


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
      context: context images, for a model that takes them; see `PixelRNN`. Neither they nor the labels are in the file:
        `decompress` needs both.
      labels: integers [B] in [0, num_classes), for a class-conditional model.
      batch_size: images at a time; decoding needs memory for as many.
      tile: height and width of tiles into which images are cut, each coded as an image of its own; for images much larger than
        those of the training.

    Returns:
      The bytes of a .prnn file, see `compression.container`. It is tied to this model, these parameters and this platform.

    Raises:
      InputError: (a ValueError) if the parameters do not fit the model; if images, context or labels are missing or
        superfluous, or have the wrong rank, type, shape or range; or if sizes are not positive.
    """
    config, conditions = model.config, Conditions(context, labels)
    check_images(images, levels=config.levels, channels=config.channels)
    check_params(model, params)
    check_conditions(config, conditions, images.shape[:3])
    images, conditions = np.asarray(images).astype(value_type(config.levels)), plain(config, conditions)
    header = dataclasses.replace(
        _plan(config, images.shape[:3], batch_size, tile),
        model_hash=fingerprint(model, params).hex(),
        conditions_checksum=_checksum(conditions),
        images_checksum=checksum(images.tobytes()).hex(),
        platform=this_platform(),
    )
    tiles = cut(images, (header.tile_height, header.tile_width))
    encoder = constriction.stream.queue.RangeEncoder()
    _code_tiles(model, params, header, tiles, conditions, functools.partial(_encode, encoder), "compressing")
    return pack(header, encoder.get_compressed().astype("<u4").tobytes())


def decompress(
    model: nn.Module, params: Any, blob: bytes, context: Any = None, labels: Any = None
) -> UInt[np.ndarray, "B H W C"]:
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
      InputError: (a ValueError) if the file is damaged, belongs to another model, context or labels, or was compressed on a
        platform whose numbers differ. Wrong images are never returned.

    Warns:
      UserWarning: if the platform differs.
    """
    header, payload = unpack(blob)
    model_hash = fingerprint(model, params).hex()
    if header.model_hash != model_hash:
        raise InputError(
            f"the file was compressed by another model: its hash is {header.model_hash}, this one's is {model_hash}."
        )
    conditions = Conditions(context, labels)
    check_conditions(model.config, conditions, (header.num, header.height, header.width))
    conditions = plain(model.config, conditions)
    if header.conditions_checksum != _checksum(conditions):
        raise InputError("context and labels must be those that the file was compressed with; these differ.")
    platforms = f"it was compressed on [{header.platform}], this is [{this_platform()}]"
    if header.platform != this_platform():
        warnings.warn(f"the file may not decode here: {platforms}.", stacklevel=2)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    tiles = np.zeros((header.num_tiles, header.tile_height, header.tile_width, header.channels), value_type(header.levels))
    try:
        _code_tiles(model, params, header, tiles, conditions, functools.partial(_decode, decoder), "decompressing")
    except AssertionError as error:  # constriction's
        raise InputError(f"the file does not decode here ({error}): {platforms}.") from None
    images = join(tiles, header.num, (header.height, header.width))
    if checksum(images.tobytes()).hex() != header.images_checksum:
        raise InputError(f"the file does not decode here, the checksum of its images differs: {platforms}.")
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
    """Estimates the seconds to compress (or decompress) one or more images, once compiled, from one row of each stage."""
    header = _plan(model.config, shape, batch_size, tile)
    encode, seconds = functools.partial(_encode, constriction.stream.queue.RangeEncoder()), 0.0
    params = jax.device_put(params)
    conditions = _take(cut_conditions(header, model.config, plain(model.config, conditions)), np.arange(header.batch_size))
    batch = np.zeros((header.batch_size, header.tile_height, header.tile_width, header.channels), value_type(header.levels))
    _check_memory(batch.shape, model, params, conditions)
    for stage in stages(model.config):
        part, state = _begin_stage(stage, params, batch, conditions)
        for _ in range(2):  # the first one compiles
            begin = time.perf_counter()
            state = jax.block_until_ready(_code_row(stage, stage.params(params), state, 0, part, len(part), encode))
            row_seconds = time.perf_counter() - begin
        seconds += row_seconds * part.shape[1]
    return seconds * header.num_batches


def cut_conditions(header: Header, config: ModelConfig, conditions: Conditions) -> Conditions:
    """Returns for each tile of the images its part of the context and the label of its image."""
    context, labels = conditions
    if context is not None:
        context = cut(context, (header.tile_height // config.context_scale, header.tile_width // config.context_scale))
    if labels is not None:
        labels = np.repeat(labels, header.num_tiles // max(header.num, 1))
    return Conditions(context, labels)


def _plan(config: ModelConfig, shape: tuple[int, int, int], batch_size: int, tile: Sequence[int] | Any) -> Header:
    """Decides on tiles and batches, as a header without its hashes."""
    num, height, width = shape
    if tile is not None:
        tile = check_size("tile", tile)
    batch_size = check_integer("batch_size", batch_size, 1)
    tile_height, tile_width = np.minimum(tile or (height, width), (height, width)).tolist()
    if tile_height % config.multiple or tile_width % config.multiple:
        raise InputError(
            f"tiles must have sides that are multiples of {config.multiple}; got {tile_height}x{tile_width} pixels."
        )
    header = Header(num, height, width, config.channels, config.levels, 1, tile_height, tile_width)
    header = dataclasses.replace(header, batch_size=max(1, min(batch_size, header.num_tiles)))
    header.check()
    return header


def _checksum(conditions: Conditions) -> str:
    return checksum(b"".join(array.tobytes() for array in jax.tree.leaves(conditions))).hex()


def _check_memory(shape: tuple[int, int, int, int], model: nn.Module, params: Any, tile_conditions: Conditions) -> None:
    """Raises `InputError` if the decode state of a batch is too large, at the last stage, the largest."""
    begin = functools.partial(_begin_stage, stages(model.config)[-1])
    conditions = jax.tree.map(lambda array: jax.ShapeDtypeStruct((shape[0], *array.shape[1:]), array.dtype), tile_conditions)
    _, state = jax.eval_shape(begin, params, jax.ShapeDtypeStruct(shape, value_type(model.config.levels)), conditions)
    needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    if needed > MAX_MEMORY:
        raise InputError(
            f"a batch of {shape[0]} images of {shape[1]}x{shape[2]} pixels must need at most {MAX_MEMORY / 2**30:.0f} GiB of"
            f" memory; it needs {needed / 2**30:.1f}. Compress in tiles, or in smaller batches."
        )


def _encode(encoder: Any, values: UInt[np.ndarray, " count"], probabilities: Float32[np.ndarray, "count levels"]) -> None:
    encoder.encode(values.astype(np.int32), FAMILY, probabilities)


def _decode(decoder: Any, values: UInt[np.ndarray, " count"], probabilities: Float32[np.ndarray, "count levels"]) -> None:
    values[:] = decoder.decode(FAMILY, probabilities)


def _code_tiles(
    model: nn.Module,
    params: Any,
    header: Header,
    tiles: UInt[np.ndarray, "tiles h w C"],
    conditions: Conditions,
    code: Coder,
    description: str,
) -> None:
    """Codes tiles in batches, sub-pixel by sub-pixel, in the model's order. A decoder writes into them."""
    conditions, params = cut_conditions(header, model.config, conditions), jax.device_put(params)
    shape = (header.batch_size, *tiles.shape[1:])
    _check_memory(shape, model, params, conditions)
    rows = header.num_batches * sum(header.tile_height // stage.stride for stage in stages(model.config))
    with progress_bar(rows, unit="row", description=description, delay=2.0, leave=False) as bar:
        for first in range(0, len(tiles), header.batch_size):
            numbers = np.arange(first, first + header.batch_size)
            count = min(header.batch_size, len(tiles) - first)
            batch = np.zeros(shape, tiles.dtype)
            batch[:count] = tiles[first : first + count]
            for stage in stages(model.config):
                part, state = _begin_stage(stage, params, batch, _take(conditions, numbers))
                for row in range(part.shape[1]):
                    state = _code_row(stage, stage.params(params), state, row, part, count, code)
                    bar.update()
            tiles[first : first + count] = batch[:count]


def _take(conditions: Conditions, numbers: Integer[np.ndarray, " B"]) -> Conditions:
    """The conditions of some tiles. Where there are fewer tiles, the last one is repeated."""
    return jax.tree.map(lambda array: array[np.minimum(numbers, len(array) - 1)], conditions)


def _begin_stage(
    stage: Stage, params: Any, batch: UInt[Array | np.ndarray, "B h w C"], conditions: Conditions
) -> tuple[UInt[Array | np.ndarray, "B rows columns C"], DecodeState]:
    """The stage's images, as a view into which a decoder writes, and the state before their first row."""
    part = batch[:, :: stage.stride, :: stage.stride]
    return part, start(stage.network, stage.params(params), part.shape[:3], stage.conditions(batch, conditions))


def _code_row(
    stage: Stage,
    params: Any,
    state: DecodeState,
    row: int,
    images: UInt[np.ndarray, "B h w C"],
    count: int,
    code: Coder,
) -> DecodeState:
    """Codes one row of a stage's images."""
    drawn = stage.drawn(*images.shape[1:3])[row]

    def choose(numbers, column, channel):
        values = images[:, row, column, channel]
        if drawn[column]:
            code(values[:count], _softmax(_logits(stage.config, numbers)[:count]))
        return values, None

    return decode_row(stage.network, params, state, np.int32(row), choose, scan=scan_on_host)[0]


def _logits(config: ModelConfig, numbers: Float32[Array, "B size"]) -> Float32[np.ndarray, "B levels"]:
    """The logits of a sub-pixel's values. Those that the network gives already need no compiled function."""
    are_logits = config.output == "softmax" and config.levels > 2
    return np.asarray(numbers if are_logits else _computed_logits(config, numbers))


@functools.partial(jax.jit, static_argnames="config")
def _computed_logits(config: ModelConfig, numbers: Float32[Array, "B size"]) -> Float32[Array, "B levels"]:
    return make_output(config).logits(numbers)


def _softmax(logits: Float32[np.ndarray, "count levels"]) -> Float32[np.ndarray, "count levels"]:
    """By NumPy, which takes less time for so few numbers than it takes to call a compiled function."""
    if not np.isfinite(logits).all():  # constriction would take them for a defect of the program
        raise InputError("the model's logits are not finite: its parameters are damaged.")
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    return probabilities / probabilities.sum(-1, keepdims=True)
