"""The one exception for what a caller got wrong, and the check of integers and seeds."""

import operator
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
