"""An error about a value that keeps the value apart from the sentence, so that a program can show each by itself.

Used by what parses single values of objects, files and options. Free of domain terms.
"""

from typing import Final

_MAX_SHOWN: Final = 60


class RefusedValue(ValueError):
    """A value is invalid; `str()` has the value, what is wrong with it, and the cure.

    Args:
        value: as it was given; long ones are cut when they are shown.
        message: the sentence after it, such as `is not a duration; use …`.
    """

    def __init__(self, value: object, message: str) -> None:
        shown = repr(value[:_MAX_SHOWN]) if isinstance(value, str) else f"{value!r:.{_MAX_SHOWN}}"
        super().__init__(f"{shown} {message}")
        self.value = value
        self.message = message
