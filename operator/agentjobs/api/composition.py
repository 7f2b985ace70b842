"""Texts that are made for another reader of `$(…)`: the job of a follow-up looks for names in its texts once more.

What a model wrote must not be read as a name there, wherever it ends up: a `$` at the end of one value and `(job.uid)`
at the beginning of the next are a name too. So a text is put together as it shall read in the end, and then escaped.
Pure.
"""

from collections.abc import Callable

from agentjobs.api.substitution import REFERENCE

ValueOf = Callable[[str], str | None]
"""Returns the value of a name; None for one that is left to the reader."""


class Unusable(ValueError):
    """The values cannot stand in this text; says why."""


def composed(text: str, value_of: ValueOf) -> str:
    """Return a text with the values put in, in which the reader finds the names that are left to it and no others.

    Raises:
        Unusable: a value ends in `$`, and a name that is left to the reader follows.
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
            raise Unusable(f"what stands before $({match[1]}) ends in $, which would escape that name")
        done += [escaped(read), match[0]]
        read = ""
    return "".join((*done, escaped(read + text[place:])))


def filled(text: str, value_of: ValueOf) -> str:
    """Return a text with the values put in, for a place where nobody looks for names.

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
    """Return what a reader of `$(…)` turns into this text."""
    return text.replace("$(", "$$(")
