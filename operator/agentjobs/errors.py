"""Everything that may go wrong between us and a server, in one small tree.

    AgentJobsError
    ├── Unavailable        try again later (connection refused, 5xx, time-out)
    │   └── TooManyRequests    the server said when (`retry_after`)
    │       └── Busy               another request writes the same at this moment
    ├── Conflict           another client wrote first; read again, decide again
    │   ├── AlreadyExists      a create met an object of that name
    │   └── Fenced             this start is no longer the current one; stop
    ├── NotFound           no such object
    ├── Gone               the resourceVersion or continue token is too old; list again
    ├── Denied             403: our rights are missing, or a rule of the cluster forbids it
    │   └── Unauthenticated    401: the server does not know who we are
    ├── Invalid            the server refused the content; the same request will fail again
    │   ├── JournalFull        the job has recorded as many steps as it may
    │   └── TooLarge           there is more of it than may be stored
    └── Misconfigured      no server was asked: a kubeconfig, an address or an argument cannot be meant

Adapters translate their library's errors into these at one place, chained with `from`. Endings we expect of a job are
values, never exceptions.
"""


class AgentJobsError(Exception):
    """Base of everything raised on purpose by this package."""


class Unavailable(AgentJobsError):
    """The other side cannot answer now; the same request may succeed later."""


class TooManyRequests(Unavailable):
    """The server asked us to slow down.

    Args:
        retry_after: seconds to wait, from the Retry-After header (RFC 9110 10.2.3); 1 when it gave none.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(TooManyRequests):
    """Another request writes the same at this moment; nothing of this one was stored."""


class Conflict(AgentJobsError):
    """The object changed since it was read (409 Conflict); observe again and decide again."""


class AlreadyExists(Conflict):
    """A create met an object of the same name (409 AlreadyExists)."""


class Fenced(Conflict):
    """Another pod holds this start: this one must stop writing."""


class NotFound(AgentJobsError):
    """No such object (404)."""


class Gone(AgentJobsError):
    """The version asked for is no longer in the server's history (410)."""


class Denied(AgentJobsError):
    """Not authenticated or not allowed (401, 403, or a policy's own code); an administrator may change that."""


class Unauthenticated(Denied):
    """The server does not accept our credentials (401)."""


class Invalid(AgentJobsError):
    """The content was refused (400, 413, 415, 422); repeating the request cannot help."""


class JournalFull(Invalid):
    """A job has recorded as many steps as one job may, or its run as many bytes; nothing more of it is stored."""


class TooLarge(Invalid):
    """It is larger than it may be, or what it belongs to is full; the message has the limit."""


class Misconfigured(AgentJobsError):
    """A kubeconfig, an address or an argument is missing or cannot be meant; nothing was asked of any server."""
