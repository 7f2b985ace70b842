"""The meaning of an exception, for every engine: first an exception of user code, then the engine's rules, then a
failure.

Called by the engines with their own rules. Pure.
"""

import errno
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from agentjobs.contract import MAX_DELAY_SECONDS, ErrorClass, Verdict
from agentjobs_runner.control import Cancel, Permanent, Snooze
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.modules import first_problems
from agentjobs_runner.origins import Cause, causes
from agentjobs_runner.redaction import safe_str

_DISK: Final = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


def ending_of(
    error: BaseException, known: Callable[[Cause], Ending | None], unknown: Callable[[list[Cause]], Ending]
) -> Ending:
    """Return the ending of a start for `error`.

    Args:
        error: the engine's exception; it may wrap others.
        known: the engine's rule for one error of the chain; None if that error is not conclusive.
        unknown: the engine's rule for a chain without a known error.
    """
    try:
        return _judged(list(causes(error)), known, unknown)
    except BaseException as broken:  # user code defines exceptions, too, and their properties may raise anything
        message = f"the agent's code raised {type(error).__name__}, which cannot be read: {type(broken).__name__}"
        return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, message)


def _judged(
    found: list[Cause], known: Callable[[Cause], Ending | None], unknown: Callable[[list[Cause]], Ending]
) -> Ending:
    for judge in (_ordered, known):
        for cause in found:
            if (ending := judge(cause)) is not None:
                return ending
    return unknown(found)


def _ordered(cause: Cause) -> Ending | None:
    """Return the ending requested by one of our exceptions."""
    match cause.error:
        case StartEnded() as ended:
            return ended.ending
        case Snooze() as error:
            delay = min(error.after_seconds, MAX_DELAY_SECONDS)
            return Ending(Verdict.SNOOZE, ErrorClass.SNOOZED, error.reason, delay_seconds=delay)
        case Cancel() as error:
            return Ending(Verdict.CANCEL, ErrorClass.CANCELLED, error.reason)
        case Permanent() as error:
            return Ending(Verdict.FAIL, ErrorClass.PERMANENT, error.reason)
        case _:
            return None


def disk_failed(error: BaseException) -> Ending | None:
    """The ending for an error of the pod's disk, or for too many open files; None for others."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return Ending(Verdict.RETRY, ErrorClass.IO, described(error))
    return None


def described(error: BaseException) -> str:
    """Return an error as one line of text, by its type and its message."""
    if isinstance(error, SystemExit):
        return f"the agent's code called sys.exit({error.code!r})"
    text = f"{error.title}: {first_problems(error)}" if isinstance(error, ValidationError) else safe_str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
