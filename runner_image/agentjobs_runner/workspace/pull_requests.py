"""Proposes the pushed branch for merging: uses its open pull request, or creates one."""

import time
from collections.abc import Callable
from typing import Final

from agentjobs.contract import MAX_PUBLISHED_CHARS
from agentjobs_runner.log import logger
from agentjobs_runner.workspace.api import Away, Odd, unavailable
from agentjobs_runner.workspace.hosts import Host, Wanted
from agentjobs_runner.workspace.refusals import refused

PAUSES: Final = (1.0, 4.0)
"""Seconds between attempts: a short failure of the host costs no start. A longer Retry-After ends this one."""


def request(host: Host, wanted: Wanted, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the address of the request for `wanted`.

    After a missing response it is unknown whether a request was created, so each attempt looks first.

    Raises:
        StartEnded: the host is unavailable, or rejects it.
    """
    for pause in (*PAUSES, None):
        try:
            return _checked(host.find(wanted.branch, wanted.base) or host.make(wanted))
        except Odd as error:
            # Possibly another client has created one meanwhile.
            return _checked(_found(host, wanted) or _refuse(error))
        except Away as error:
            if pause is None or (error.delay_seconds or 0.0) > pause:
                raise unavailable(error) from error
            logger.warning("publish.host_unavailable", extra={"error": str(error), "pause": pause})
            sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _found(host: Host, wanted: Wanted) -> str | None:
    try:
        return host.find(wanted.branch, wanted.base)
    except Away as error:
        raise unavailable(error) from error
    except Odd as error:
        return _refuse(error)


def _refuse(error: Odd) -> str:
    raise refused(f"the pull request was rejected: {error}") from error


def _checked(address: str) -> str:
    """Return an address that is safe to show."""
    plain = address.isascii() and address.isprintable() and " " not in address
    if not plain or not address.startswith(("https://", "http://")) or len(address) > MAX_PUBLISHED_CHARS:
        raise refused("the API's response has no valid address of a pull request")
    return address
