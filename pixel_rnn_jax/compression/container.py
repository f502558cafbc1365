"""The .prnn file format: a header, one coded stream of all images, and a checksum.

    magic            4 bytes   "PRNN"
    version          2 bytes
    header                     see `Header`; little-endian
    payload                    the range coder's words
    checksum         8 bytes   of all bytes before

A file is decoded by the model that coded it only, and on a platform whose numbers are the same to the last bit: no format
for archives. The checksum tells damage before anything is decoded, and that of the images tells a platform that differs.
"""

import dataclasses
import struct

from pixel_rnn_jax.compression.checksum import checksum
from pixel_rnn_jax.errors import InputError

MAGIC = b"PRNN"
VERSION = 2
CHECKSUM_BYTES = 8
WORD_BYTES = 4
_START = struct.Struct("<4sH")
_FIELDS = struct.Struct("<8I16s8s8sB")


@dataclasses.dataclass(frozen=True)
class Header:
    """What a reader must know before it decodes.

    Attributes:
      num: number of images.
      height: of an image.
      width: of an image.
      channels: of an image.
      levels: number of values that a sub-pixel can take.
      batch_size: tiles that are coded at a time.
      tile_height: height of the tiles into which images are cut; that of the images, if they are not.
      tile_width: likewise.
      model_hash: of the model and its parameters.
      conditions_checksum: of what the images are given.
      images_checksum: of the images.
      platform: what the numbers depend on, besides model and batch; ASCII.
    """

    num: int
    height: int
    width: int
    channels: int
    levels: int
    batch_size: int
    tile_height: int
    tile_width: int
    model_hash: bytes
    conditions_checksum: bytes
    images_checksum: bytes
    platform: str

    @property
    def num_tiles(self) -> int:
        """Number of tiles of all images."""
        return self.num * -(-self.height // self.tile_height) * -(-self.width // self.tile_width)

    def check(self) -> None:
        """Raises `InputError` if sizes are impossible."""
        sizes = (self.height, self.width, self.channels, self.batch_size, self.tile_height, self.tile_width)
        if min(sizes) < 1 or max(sizes) >= 2**31 or not 2 <= self.levels <= 256 or not 0 <= self.num < 2**31:
            raise InputError(f"sizes must be at least 1, below 2^31, and levels from 2 to 256; got {self}.")
        if self.tile_height > self.height or self.tile_width > self.width or self.batch_size > max(self.num_tiles, 1):
            raise InputError(f"tiles must not be larger than images, nor batches than all tiles; got {self}.")


def pack(header: Header, payload: bytes) -> bytes:
    """Puts a file together."""
    header.check()
    platform = header.platform.encode("ascii")
    *fields, _ = dataclasses.astuple(header)
    fields = _FIELDS.pack(*fields, len(platform))
    body = _START.pack(MAGIC, VERSION) + fields + platform + payload
    return body + checksum(body)


def unpack(blob: bytes) -> tuple[Header, bytes]:
    """Takes a file apart.

    Returns:
      Its header and its payload.

    Raises:
      InputError: if it is no such file, of another version, damaged, or has impossible sizes.
    """
    if blob[: len(MAGIC)] != MAGIC:
        raise InputError(f"a .prnn file must start with {MAGIC!r}; got {blob[: len(MAGIC)]!r}.")
    if len(blob) < _START.size + _FIELDS.size + CHECKSUM_BYTES:
        raise InputError(f"a .prnn file has at least a header and a checksum; this one is cut off after {len(blob)} bytes.")
    _, version = _START.unpack_from(blob)
    if version != VERSION:
        raise InputError(f"the .prnn file must be of format version {VERSION}; got {version}.")
    body, found = blob[:-CHECKSUM_BYTES], blob[-CHECKSUM_BYTES:]
    if checksum(body) != found:
        raise InputError("the .prnn file is damaged or cut off: its checksum does not fit its bytes.")
    *fields, length = _FIELDS.unpack_from(body, _START.size)
    end = _START.size + _FIELDS.size + length
    try:
        header = Header(*fields, platform=body[_START.size + _FIELDS.size : end].decode("ascii"))
    except UnicodeDecodeError:
        raise InputError("the .prnn file is damaged: its platform is no text.") from None
    header.check()
    if end > len(body) or (len(body) - end) % WORD_BYTES:
        raise InputError(f"the .prnn file's payload must be whole words of {WORD_BYTES} bytes; got {len(body) - end} bytes.")
    return header, body[end:]
