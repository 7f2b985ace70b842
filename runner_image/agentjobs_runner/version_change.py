"""How a start handles steps recorded with another version of ADK, the runner or the agent. Pure."""

from dataclasses import dataclass
from typing import Final

from agentjobs.contract import ErrorClass, Verdict, Versions
from agentjobs_runner.endings import Ending, StartEnded

CONTINUE: Final = "Continue"
RESTART: Final = "Restart"
FAIL: Final = "Fail"


@dataclass(frozen=True, slots=True)
class Change:
    """A start's reaction to a change, and its text for people; without text if nothing changed."""

    restart: bool = False
    message: str = ""


def judge(before: Versions | None, now: Versions, policy: str) -> Change:
    """Return what to do with steps recorded by `before`, when `now` continues.

    Args:
        policy: `retry.onVersionChange`.

    Raises:
        StartEnded: VersionMismatch.
    """
    if before is None or not (changed := _changed(before, now)):
        return Change()
    what = f"since the run began, {' and '.join(changed)} changed"
    if policy == RESTART:
        return Change(restart=True, message=f"{what}: it begins again, because of retry.onVersionChange")
    if policy == FAIL:
        raise _mismatch(f"{what}, and retry.onVersionChange is Fail")
    if before.get("scheme") != now["scheme"]:
        raise _mismatch(f"{what}: this runner cannot find recorded steps")
    return Change(message=f"{what}; recorded steps are still used, because of retry.onVersionChange")


def _changed(before: Versions, now: Versions) -> list[str]:
    words = {"adk": "ADK", "runner": "the runner", "scheme": "the scheme of keys", "agent": "the agent"}
    pairs = {name: (str(before.get(name)), str(now.get(name))) for name in words}
    return [
        f"{word} ({pairs[name][0][:40]} to {pairs[name][1][:40]})"
        for name, word in words.items()
        if pairs[name][0] != pairs[name][1]
    ]


def _mismatch(what: str) -> StartEnded:
    cure = "Use the original image, or set retry.onVersionChange: Restart to begin again"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.VERSION_MISMATCH, f"{what}. {cure}"))
