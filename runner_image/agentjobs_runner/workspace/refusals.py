"""Endings of publishing without success. Pure."""

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.workspace.failures import GitFailed, Kind

# Shorter than the operator's own backoff; a host may request more.
_AGAIN = (Kind.UNAVAILABLE, Kind.FULL)


def refused(message: str) -> StartEnded:
    """It would be rejected again, by us or by the host."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.PUBLISH_REFUSED, message))


def failed(message: str, delay_seconds: float | None = None) -> StartEnded:
    """Another start may succeed; nothing is lost until then."""
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.PUBLISH_FAILED, message, delay_seconds=delay_seconds))


def of_git(error: GitFailed, doing: str) -> StartEnded:
    """Return the ending for a Git failure.

    Args:
        doing: the action, for people: "pushing to the branch agents/a".
    """
    message = f"{doing}: {error.message}"
    return failed(message) if error.kind in _AGAIN else refused(message)
