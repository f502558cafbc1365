"""The one exception for what a caller got wrong, and the checks of integers and sizes."""

import errno
import operator
from collections.abc import Sequence
from typing import Any

MAX_SEED = 2**32 - 1  # a random key of JAX holds no more


class InputError(ValueError):
    """Something that was given cannot be used; the message gives the value and what was expected.

    The command lines print it as one line; anything else that is raised is a defect of the program and keeps its traceback.
    """


def check_integer(field: str, value: Any, low: int, high: int | None = None) -> int:
    """The value as an `int`; `InputError`, unless it is an integer of at least `low` and, if given, at most `high`."""
    try:
        integer = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        integer = None
    if integer is None or integer < low or (high is not None and integer > high):
        expected = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{field} must be an integer {expected}; got {value!r}.")
    return integer


def check_size(field: str, value: Any, sides: Sequence[str] = ("height", "width")) -> tuple[int, ...]:
    """The value as a tuple of `int`, one for each side; `InputError`, unless it is so many integers of at least 1."""
    try:
        numbers = tuple(value)
    except TypeError:
        numbers = ()
    if len(numbers) != len(sides):
        raise InputError(f"{field} must be ({', '.join(sides)}); got {value!r}.")
    return tuple(check_integer(f"{field}: {side}", number, 1) for side, number in zip(sides, numbers, strict=True))


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error says that something cannot be read here and now (memory, rights, a disk), not that it is damaged."""
    # A damaged file may name an offset that cannot be (EINVAL); a link may lead nowhere or in a circle.
    of_file = (None, errno.EINVAL, errno.ENOENT, errno.ELOOP)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in of_file)


def one_line(error: BaseException, at_most: int = 200) -> str:
    """What an error says, in so many characters; its type, if it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= at_most else f"{text[:at_most]}…"
