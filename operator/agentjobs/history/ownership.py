"""The rule of the fence: which pod owns a start. Pure."""

from datetime import datetime
from typing import Any, Final

from agentjobs import errors

_MAX_START: Final = 2**31 - 1


def check(
    holder: str | None, fenced_at: datetime | None, *, uid: str, start: int, pod: str, unclaimed: bool = False
) -> None:
    """Return if the pod owns the start with this `holder` and `fenced_at`, or with `unclaimed` if it has no owner yet.

    Raises:
        errors.Fenced: it is not.
    """
    if holder != pod and not (unclaimed and holder is None):
        state = "is not claimed" if holder is None else f"belongs to pod {holder}"
        raise errors.Fenced(f"start {start} of job {uid} {state}, not to pod {pod}")
    if fenced_at is not None:
        raise errors.Fenced(f"start {start} of job {uid} is over: it has ended or a newer start exists")


def start_key(uid: str, start: int) -> dict[str, Any]:
    """Return the parameters that name a start.

    Raises:
        errors.NotFound: no start has such a number.
    """
    if not 0 < start <= _MAX_START:
        raise errors.NotFound(f"no start {start}")
    return {"uid": uid, "start": start}
