"""Where an error was first raised: in a model call, in a tool, or in the agent's own code.

An exception alone does not show that. Engines note it on the exception itself, so that no exception, with its frames
and their values, is kept alive here. `classify` reads the notes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_CHAIN: Final = 20
_NOTE: Final = "__agentjobs_origin__"
_OVER: Final = "__agentjobs_over__"


class Source(Enum):
    """Whose code raised an error."""

    MODEL = "model"
    TOOL = "tool"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose code raised an error, and the name of the tool or of the model's agent."""

    source: Source
    name: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """An error of a chain. `is_explicit` means that each link to it is explicit: `raise … from` or a group."""

    error: BaseException
    origin: Origin
    is_explicit: bool


AGENT: Final = Origin(Source.AGENT)


def note_origin(error: BaseException, origin: Origin) -> None:
    """Note where `error` was raised; the first note stays."""
    # Bypasses __setattr__, which exceptions that are frozen dataclasses forbid.
    vars(error).setdefault(_NOTE, origin)
    if error.__cause__ is None and not error.__suppress_context__:
        vars(error).setdefault(_OVER, error.__context__)  # ADK changes it when it raises the error again


def origin_of(error: BaseException) -> Origin | None:
    """Return the origin noted on `error`."""
    found = vars(error).get(_NOTE)
    return found if isinstance(found, Origin) else None


def causes(error: BaseException) -> Iterator[Cause]:
    """`error` and its causes, with members of groups, outermost first; bounded, because chains may be circular.

    An error without a note has the origin of the error that it caused, or of its group: a tool that converts its
    database's error is still the tool.
    """
    pending = [Cause(error, AGENT, is_explicit=True)]
    seen = set[int]()
    while pending and len(seen) < MAX_CHAIN:
        current = pending.pop(0)
        if id(current.error) in seen:
            continue
        seen.add(id(current.error))
        origin = origin_of(current.error) or current.origin
        if isinstance(current.error, BaseExceptionGroup):
            pending[:0] = [Cause(member, origin, current.is_explicit) for member in current.error.exceptions]
        else:
            yield Cause(current.error, origin, current.is_explicit)
        following = current.error.__cause__
        if following is not None:
            pending.append(Cause(following, origin, current.is_explicit))
        elif current.error.__context__ is not None and not current.error.__suppress_context__:
            pending.append(Cause(current.error.__context__, origin, is_explicit=False))
        if isinstance(over := vars(current.error).get(_OVER), BaseException):
            pending.append(Cause(over, origin, is_explicit=False))
