"""Runs operations of the Python client as the caller, so that an action means the same in the client and in REST.

An operation (agentjobs.client.operations) yields requests. Those to the API server carry only the caller's credentials.
Those to the gateway are sent to this application as the caller, who needs the same rights as from outside. A refusal of
the API server becomes a `Problem` with the API server's message.
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
from agentjobs.kube.answers import message_of
from agentjobs.problem import Problem, busy, forbidden, unauthorized, unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_SECONDS: Final = 5.0
"""How long an operation retries while a server is busy."""
# The time limit of a whole operation: a person waits for the response.
_WHOLE_SECONDS: Final = 10.0
# The longest message of the API server that is passed on. It names every invalid field.
_MESSAGE_BYTES: Final = 2000


class CallerRequests(Protocol):
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
"""Sends a request to the gateway and returns its response; raises an AgentJobsError for a refusal."""


class Acting:
    """Runs operations as one caller. Create one for each request.

    Args:
        cluster: the API server with the credentials of the caller.
        recorded: the gateway with the credentials of the caller.
        whole: seconds that an operation may take.
    """

    def __init__(self, cluster: CallerRequests, recorded: Recorded, *, whole: float = _WHOLE_SECONDS) -> None:
        self._cluster = cluster
        self._recorded = recorded
        self._whole = whole

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its value.

        Raises:
            Problem: a refusal of the API server, with its message; 503 if it did not respond in time.
            TimeoutError: the operation itself waited too long for something.
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
                f"The API server did not respond within {self._whole:g} s. "
                "The action may have been carried out; check before you repeat it."
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
                raise AssertionError("an action does not watch anything")


@asynccontextmanager
async def acting_as_caller(request: Request) -> AsyncIterator[Acting]:
    """Yield an `Acting` with the credentials of this request. Raises Problem (401)."""
    cluster = await rights.acting(request)
    # Raw bytes: decoding and encoding would change user names that are not ASCII.
    headers = [(name, value) for name, value in request.headers.raw if _is_credential(name)]
    itself = httpx.ASGITransport(request.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=itself, base_url="http://gateway", headers=headers) as http:

        async def recorded(send: Send) -> Mapping[str, Any]:
            return _recorded(await http.request(send.method, send.path, params=dict(send.params)))

        yield Acting(cluster, recorded)


@contextmanager
def refusals_as_problems() -> Iterator[None]:
    """Turn refusals of the API server into Problems, as `refusal` does."""
    try:
        yield
    except errors.AgentJobsError as error:
        raise refusal(error) from error


def refusal(error: errors.AgentJobsError) -> Problem:
    """Return the Problem for an error of the API server or of history.

    The caller's credentials were used, so a denial is about the caller. The address of a server is not revealed.
    """
    message = contract.cut(message_of(error), _MESSAGE_BYTES)
    match error:
        case errors.Unauthenticated():
            return unauthorized("The API server no longer accepts this token; sign in again.")
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
            return unavailable("The API server or the history is unavailable; try again.")
        case errors.Unchangeable():
            return Problem(400, "BadRequest", message)
        case _:
            return Problem(422, "Invalid", message)


def _recorded(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the response of this application, or raise the error that its status stands for."""
    body: Mapping[str, Any] = answer.json()
    if answer.is_success:
        return body
    message = str(body.get("message", ""))
    raise _BY_STATUS.get(answer.status_code, errors.Unavailable)(message)


def _is_credential(name: bytes) -> bool:
    return name.lower() == b"authorization" or name.lower().startswith(b"impersonate-")


def _kind(path: str) -> str:
    """Return the plural in the path of an object or a list in a namespace, for metrics and errors."""
    _, _, below = path.partition("/namespaces/")
    return below.split("/")[1]
