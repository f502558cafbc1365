"""A checksum of bytes, which tells damage and whether something is what it was."""

import hashlib


def checksum(data: bytes, size: int = 8) -> bytes:
    """A hash of so many bytes (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=size).digest()
