"""Texts in which `$(…)` is replaced again later: those of a follow-up, whose job replaces names once more.

A model's words must not act as a name there, not even when one value ends in `$` and the next begins with `(job.uid)`.
So the final text is composed first and then escaped. Pure.
"""

from collections.abc import Callable

from agentjobs.api.substitution import REFERENCE

ValueOf = Callable[[str], str | None]
"""Returns the value of a name; None for a name to be replaced later."""


class Unusable(ValueError):
    """The values cannot be used in this text; the message gives the reason."""


def composed(text: str, value_of: ValueOf) -> str:
    """Return a text with the values put in, in which exactly the remaining names will be replaced later.

    Raises:
        Unusable: a value ends in `$`, and a remaining name follows.
    """
    done, read = [], ""
    place = 0
    for match in REFERENCE.finditer(text):
        read += text[place : match.start()]
        place = match.end()
        value = "$(" if match[1] is None else value_of(match[1])
        if value is not None:
            read += value
            continue
        if read.endswith("$"):
            raise Unusable(f"the text before $({match[1]}) ends in $, which would escape that name")
        done += [escaped(read), match[0]]
        read = ""
    return "".join((*done, escaped(read + text[place:])))


def filled(text: str, value_of: ValueOf) -> str:
    """Return a text with the values put in, for a place where no names are replaced later.

    Raises:
        Unusable: a name has no value.
    """

    def put(name: str | None) -> str:
        value = "$(" if name is None else value_of(name)
        if value is None:
            raise Unusable(f"$({name}) has no value here")
        return value

    return REFERENCE.sub(lambda match: put(match[1]), text)


def escaped(text: str) -> str:
    """Return the text that becomes this one when `$(…)` is replaced."""
    return text.replace("$(", "$$(")
