"""The exception for wrong inputs, checks of integers, sizes and random keys, and what error messages need."""

import contextlib
import errno
import importlib.metadata
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

MAX_SEED = 2**32 - 1  # what a JAX random key can hold


class InputError(ValueError):
    """An input cannot be used. The message states the value and what was expected.

    Commands print it in one line. Any other exception is a bug, and keeps its traceback.
    """


def check_integer(field: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns the value as an `int`; raises `InputError` unless it is an integer from `low` to `high` (None: unbounded)."""
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None or integer < low or (high is not None and integer > high):
        expected = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{field} must be an integer {expected}; got {value!r}.")
    return integer


def check_size(field: str, value: Any, sides: Sequence[str] = ("height", "width")) -> tuple[int, ...]:
    """Returns the value as a tuple of `int`; raises `InputError` unless it has one integer of at least 1 for each side."""
    try:
        numbers = tuple(value)
    except TypeError:
        numbers = ()
    if len(numbers) != len(sides):
        raise InputError(f"{field} must be ({', '.join(sides)}); got {value!r}.")
    return tuple(check_integer(f"{field}: {side}", number, 1) for side, number in zip(sides, numbers, strict=True))


def check_key(field: str, key: Any) -> None:
    """Raises `InputError` unless the value is one random key of JAX, of the new or the old kind."""
    try:
        typed = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{field} must be a random key, such as jax.random.key(0); got {key!r}.") from None
    if typed.shape:
        raise InputError(f"{field} must be one random key; got {typed.shape[0]}, of which {field}[0] is one.")


@contextlib.contextmanager
def about(name: str, hint: str = "") -> Iterator[None]:
    """Names what an `InputError` is about: puts the name before its message, and a hint behind it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name} {error}{hint}") from None


@contextlib.contextmanager
def damage_as(message: str) -> Iterator[None]:
    """Turns the many kinds of errors that libraries raise for a damaged or missing file into `InputError`, with a message.

    Errors due to this machine (memory, permissions, a disk) stay.
    """
    # EINVAL: a damaged file may contain an impossible offset. ENOENT, ELOOP: broken and circular links.
    due_to_file = (None, errno.EINVAL, errno.ENOENT, errno.ELOOP)
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in due_to_file:
            raise
        raise InputError(f"{message} ({type(error).__name__}: {one_line(error, 400)})") from None


def one_line(error: BaseException, at_most: int = 200) -> str:
    """The message of an error in one line, or its type if it has none, shortened to `at_most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= at_most else f"{text[:at_most]}…"


def documentation(page: str) -> str:
    """Where a page of docs/ can be read: at the project's address in setup.cfg, or in a checkout that is not installed."""
    try:
        address = importlib.metadata.metadata("pixel_rnn_jax").get("Home-page")
    except importlib.metadata.PackageNotFoundError:
        address = None
    return f"{address}/blob/main/docs/{page}" if address else f"docs/{page}"
