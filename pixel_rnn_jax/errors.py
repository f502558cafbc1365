"""The one exception for what a caller got wrong."""


class InputError(ValueError):
    """Something that was given cannot be used; the message gives the value and what was expected.

    The command lines print it as one line; anything else that is raised is a defect of the program and keeps its traceback.
    """
