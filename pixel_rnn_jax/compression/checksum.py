"""Content hash."""

import hashlib


def checksum(data: bytes, size: int = 8) -> bytes:
    """BLAKE2b hash of `size` bytes."""
    return hashlib.blake2b(data, digest_size=size).digest()
