"""Errors between us and a server, in one small tree.

    AgentJobsError
    ├── Unavailable        try again later (connection refused, 5xx, time-out)
    │   └── TooManyRequests    the server gave a delay (`retry_after`)
    │       └── Busy               another request is writing the same data
    ├── Conflict           another client wrote first; read again, decide again
    │   ├── AlreadyExists      an object of that name exists
    │   └── Fenced             this start is no longer the current one; stop
    ├── NotFound           no such object
    ├── Gone               the resourceVersion or continue token is too old; list again
    ├── Denied             403: we lack permission, or a policy of the cluster forbids it
    │   └── Unauthenticated    401: the server does not accept our credentials
    ├── Invalid            the server rejected the content; the same request will fail again
    │   ├── Unchangeable       the job cannot run again with this change
    │   ├── JournalFull        the job reached the limit of recorded steps
    │   └── TooLarge           it exceeds a limit of storage
    └── Misconfigured      no request was sent: a kubeconfig, an address or an argument is invalid

Adapters translate their library's errors into these at one place, chained with `from`. Expected endings of a job are
values, never exceptions.
"""


class AgentJobsError(Exception):
    """Base class of all errors that this package raises deliberately."""


class Unavailable(AgentJobsError):
    """The server cannot answer now; the same request may succeed later."""


class TooManyRequests(Unavailable):
    """The server asked us to slow down.

    Args:
        retry_after: seconds to wait, from the Retry-After header (RFC 9110 10.2.3), else 1.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(TooManyRequests):
    """Another request is writing the same data; nothing was stored."""


class Conflict(AgentJobsError):
    """The object changed since it was read (409 Conflict); observe again and decide again."""


class AlreadyExists(Conflict):
    """A create met an object of the same name (409 AlreadyExists)."""


class Fenced(Conflict):
    """Another pod holds this start; this one must stop writing."""


class NotFound(AgentJobsError):
    """No such object (404)."""


class Gone(AgentJobsError):
    """The requested version is no longer in the server's history (410)."""


class Denied(AgentJobsError):
    """Not authenticated or not allowed (401, 403, or a policy's own code); an administrator may change that."""


class Unauthenticated(Denied):
    """The server does not accept our credentials (401)."""


class Invalid(AgentJobsError):
    """The content was rejected (400, 413, 415, 422); a retry does not help."""


class Unchangeable(Invalid):
    """A job cannot run again with a changed value; the message has the field, the value and a cure."""


class JournalFull(Invalid):
    """A job reached the limit of recorded steps, or its run that of bytes; nothing more is stored."""


class TooLarge(Invalid):
    """It, or its container, exceeds a limit, which the message names."""


class Misconfigured(AgentJobsError):
    """A kubeconfig, an address or an argument is missing or invalid; no request was sent."""
