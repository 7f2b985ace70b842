"""Runs the operations of the Python client as who calls, so that an action means the same from there and from REST.

An operation (agentjobs.client.operations) asks for requests. Those to the API server go with the caller's credentials
and nothing of ours; those to the gateway are asked of this very application, as the caller, who needs there the rights
that they would need from outside. What the API server refuses becomes a `Problem` in its words.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol, TypeVar

import httpx
from fastapi import Request

from agentjobs import contract, errors
from agentjobs.client.effects import Effect, Now, Operation, Send, Server, Sleep
from agentjobs.gateway import rights
from agentjobs.kube.answers import said
from agentjobs.problem import Problem, busy, forbidden, unauthorized, unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0
"""For which an operation asks a busy server again."""
# Of an operation as a whole, whatever hangs: a person waits for the answer.
_WHOLE_SECONDS: Final = 10.0
# The longest message of the API server that is passed on: it names every field that is wrong.
_MESSAGE_BYTES: Final = 2000


class Cluster(Protocol):
    """The part of KubeClient that operations need."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request by its path and return the answer's object."""
        ...


_BY_STATUS: Final[Mapping[int, type[errors.AgentJobsError]]] = {
    401: errors.Unauthenticated,
    403: errors.Denied,
    404: errors.NotFound,
    410: errors.Gone,
}
Recorded = Callable[[Send], Awaitable[Mapping[str, Any]]]
"""Answers a request to the gateway; raises an AgentJobsError for a refusal."""


class Acting:
    """Runs operations as one caller. Make one for each request.

    Args:
        cluster: the API server, as the caller has it.
        recorded: the gateway, as the caller has it.
        whole: seconds that an operation may take.
    """

    def __init__(self, cluster: Cluster, recorded: Recorded, *, whole: float = _WHOLE_SECONDS) -> None:
        self._cluster = cluster
        self._recorded = recorded
        self._whole = whole

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its value.

        Raises:
            Problem: what the API server refused, in its words; 503 when it did not answer in time.
            TimeoutError: the operation's own, of one that waits for something.
        """
        try:
            async with asyncio.timeout(self._whole) as limit:
                return await self._drive(operation)
        except errors.AgentJobsError as error:
            raise refusal(error) from error
        except TimeoutError:
            if not limit.expired():
                raise
            raise unavailable(
                f"The API server did not answer within {self._whole:g} s. What was asked for may have been done; look."
            ) from None
        finally:
            operation.close()

    async def _drive(self, operation: Operation[T]) -> T:
        outcome: Any = None
        error: errors.AgentJobsError | None = None
        while True:
            try:
                effect = operation.throw(error) if error else operation.send(outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = error = None
            try:
                outcome = await self._perform(effect)
            except errors.AgentJobsError as raised:
                error = raised

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(server=Server.GATEWAY):
                return await self._recorded(effect)
            case Send():
                query = {key: value for key, value in effect.params.items() if isinstance(value, str)}
                return await self._cluster.send(
                    effect.method, effect.path, kind=_kind(effect.path), body=effect.body, query=query
                )
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Now():
                return asyncio.get_running_loop().time()
            case _:
                raise AssertionError("an action listens to nothing")


@asynccontextmanager
async def acting_as_caller(request: Request) -> AsyncIterator[Acting]:
    """Give what runs operations as who sent this request. Raises Problem (401)."""
    cluster = await rights.acting(request)
    # As they came: names that are not ASCII would not be what they were, read as text and written again.
    headers = [(name, value) for name, value in request.headers.raw if _is_credential(name)]
    itself = httpx.ASGITransport(request.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=itself, base_url="http://gateway", headers=headers) as http:

        async def recorded(send: Send) -> Mapping[str, Any]:
            return _recorded(await http.request(send.method, send.path, params=dict(send.params)))

        yield Acting(cluster, recorded)


@contextmanager
def in_the_api_servers_words() -> Iterator[None]:
    """Turn what the API server refuses to the caller into a Problem, as `refusal` does."""
    try:
        yield
    except errors.AgentJobsError as error:
        raise refusal(error) from error


def refusal(error: errors.AgentJobsError) -> Problem:
    """Return what the API server, or history, said to the caller, as a refusal of ours.

    The caller's credentials were used: what is denied is denied to them. Where a server is away is not told.
    """
    message = contract.cut(said(error), _MESSAGE_BYTES)
    match error:
        case errors.Unauthenticated():
            return unauthorized("The API server does not accept this token any more; sign in again.")
        case errors.Denied():
            return forbidden(message)
        case errors.NotFound():
            return Problem(404, "NotFound", message)
        case errors.Gone():
            return Problem(410, "Gone", message)
        case errors.AlreadyExists():
            return Problem(409, "AlreadyExists", message)
        case errors.Conflict():
            return Problem(409, "Conflict", message)
        case errors.TooManyRequests():
            return busy(429, "The API server asked to slow down.", error.retry_after)
        case errors.Unavailable():
            logger.warning("request.failed", extra={"error": type(error).__name__, "detail": str(error)})
            return unavailable("The API server or the history cannot answer now; try again.")
        case _:
            return Problem(422, "Invalid", message)


def _recorded(answer: httpx.Response) -> Mapping[str, Any]:
    """Return what this application answered, or raise what its status means."""
    told: Mapping[str, Any] = answer.json()
    if answer.is_success:
        return told
    message = str(told.get("message", ""))
    raise _BY_STATUS.get(answer.status_code, errors.Unavailable)(message)


def _is_credential(name: bytes) -> bool:
    return name.lower() == b"authorization" or name.lower().startswith(b"impersonate-")


def _kind(path: str) -> str:
    """The plural in the path of an object or a list in a namespace, for metrics and errors."""
    _, _, below = path.partition("/namespaces/")
    return below.split("/")[1]
