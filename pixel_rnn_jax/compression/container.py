"""The .prnn file format: a JSON header, one coded stream of all images, and a checksum.

    magic            4 bytes   "PRNN"
    version          2 bytes   little-endian, as all numbers
    header length    4 bytes
    header                     JSON object with the fields of `Header`
    payload                    the range coder's words, each of 4 bytes
    checksum         8 bytes   BLAKE2b of all bytes before

Not an archive format: only the model that coded a file can decode it, and only on a platform whose numbers agree to the last
bit. The checksum reveals damage before anything is decoded, and that of the images reveals a platform that differs.
"""

import dataclasses
import json
import struct

from pixel_rnn_jax.compression.fingerprint import checksum
from pixel_rnn_jax.errors import InputError

MAGIC = b"PRNN"
VERSION = 3
CHECKSUM_BYTES = 8
WORD_BYTES = 4
SUB_PIXELS_PER_WORD = 4096  # at most; shorter payloads are padded. So no header can claim far more images than its file holds.
_START = struct.Struct("<4sHI")


@dataclasses.dataclass(frozen=True)
class Header:
    """What a reader must know before it decodes. Hashes are in hexadecimal."""

    num: int  # of images
    height: int
    width: int
    channels: int
    levels: int
    batch_size: int  # tiles that are coded at a time
    tile_height: int  # `height` and `width` if images are not cut into tiles
    tile_width: int
    model_hash: str = ""  # of the model and its parameters
    conditions_checksum: str = ""  # of the labels and the context
    images_checksum: str = ""
    platform: str = ""  # see `fingerprint.this_platform`

    @property
    def num_tiles(self) -> int:
        return self.num * -(-self.height // self.tile_height) * -(-self.width // self.tile_width)

    @property
    def num_batches(self) -> int:
        return -(-self.num_tiles // self.batch_size)

    @property
    def min_payload_bytes(self) -> int:
        sub_pixels = self.num_tiles * self.tile_height * self.tile_width * self.channels
        return -(-sub_pixels // SUB_PIXELS_PER_WORD) * WORD_BYTES

    def check(self) -> None:
        """Raises `InputError` if sizes are impossible."""
        sizes = (self.height, self.width, self.channels, self.batch_size, self.tile_height, self.tile_width)
        if min(sizes) < 1 or max(sizes) >= 2**31 or not 2 <= self.levels <= 65_536 or not 0 <= self.num < 2**31:
            raise InputError(f"sizes must be at least 1, below 2^31, and levels from 2 to 65536; got {self}.")
        if self.tile_height > self.height or self.tile_width > self.width or self.batch_size > max(self.num_tiles, 1):
            raise InputError(f"tiles must not be larger than images, nor batches than all tiles; got {self}.")


def pack(header: Header, payload: bytes) -> bytes:
    """Assembles a file."""
    header.check()
    fields = json.dumps(dataclasses.asdict(header), separators=(",", ":")).encode()
    body = _START.pack(MAGIC, VERSION, len(fields)) + fields + payload.ljust(header.min_payload_bytes, b"\0")
    return body + checksum(body)


def unpack(blob: bytes) -> tuple[Header, bytes]:
    """Returns header and payload; raises `InputError` if they are not those of a .prnn file of this version, or damaged."""
    if not isinstance(blob, bytes):
        raise InputError(f"blob must be the bytes of a .prnn file; got {type(blob).__name__}.")
    if blob[: len(MAGIC)] != MAGIC:
        raise InputError(f"a .prnn file must start with {MAGIC!r}; got {blob[: len(MAGIC)]!r}.")
    if len(blob) < _START.size + CHECKSUM_BYTES:
        raise InputError(f"the .prnn file is cut off after {len(blob)} bytes.")
    _, version, length = _START.unpack_from(blob)
    if version != VERSION:
        raise InputError(
            f"the .prnn file must be of format version {VERSION}; got {version}. Decode it with the release that wrote it."
        )
    body, found = blob[:-CHECKSUM_BYTES], blob[-CHECKSUM_BYTES:]
    if checksum(body) != found:
        raise InputError("the .prnn file is damaged or cut off: its checksum does not match its bytes.")
    end = _START.size + length
    header, payload = _read_header(body[_START.size : end]), body[end:]
    if len(payload) % WORD_BYTES or len(payload) < header.min_payload_bytes:
        raise InputError(
            f"the .prnn file's payload must have at least {header.min_payload_bytes} bytes for the images in its header, in"
            f" words of {WORD_BYTES} bytes; got {len(payload)} bytes."
        )
    return header, payload


def compressed_shape(blob: bytes) -> tuple[int, int, int, int]:
    """The shape of the images in a .prnn file, [B, H, W, C], which `decompress` would return; decodes nothing.

    Raises:
      InputError: (a ValueError) if it is no whole .prnn file.
    """
    header, _ = unpack(blob)
    return header.num, header.height, header.width, header.channels


def _read_header(text: bytes) -> Header:
    types = {field.name: field.type for field in dataclasses.fields(Header)}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != types:
        expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
        raise InputError(f"the .prnn file's header must be a JSON object of {expected}.")
    header = Header(**fields)
    header.check()
    return header
