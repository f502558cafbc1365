"""The one exception for what a caller got wrong, and the check of integers."""

import operator
from typing import Any


class InputError(ValueError):
    """Something that was given cannot be used; the message gives the value and what was expected.

    The command lines print it as one line; anything else that is raised is a defect of the program and keeps its traceback.
    """


def check_integer(field: str, value: Any, low: int, high: int | None = None) -> None:
    """Raises `InputError` unless `value` is an integer of at least `low` and, if given, at most `high`."""
    try:
        valid = not isinstance(value, bool) and low <= operator.index(value) and (high is None or value <= high)
    except TypeError:
        valid = False
    if not valid:
        expected = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{field} must be an integer {expected}; got {value!r}.")
