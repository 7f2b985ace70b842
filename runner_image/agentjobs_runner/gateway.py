"""The runner's client of the gateway. It reads the token for each request.

Claim and result are retried while the gateway is unavailable; the other requests make one attempt, and their callers
use `with_retries`. Used from the threads of the supervisor, recorder and journal, and from those that access sessions
and artifacts; httpx clients may be shared. Raises only errors of `agentjobs.errors`.
"""

import json
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeVar, cast

import httpx

from agentjobs import contract
from agentjobs.contract import Attempt, Result, ResultDocument, StepsPage, TimelineEntry
from agentjobs.errors import (
    AgentJobsError,
    Fenced,
    Invalid,
    JournalFull,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from agentjobs_runner.environment import Environment

T = TypeVar("T")

# Timeout of one request: enough for a gateway during a database failover, short compared with two minutes of retries.
REQUEST_SECONDS: Final = 15.0
# httpx closes connections after five idle seconds, but a heartbeat comes every ten. Below the gateway's 75.
KEEP_ALIVE_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
# A longer Retry-After is ignored: the runner must not be silent for so long.
LONGEST_WAIT_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 0.25

# In addition to httpx's own headers: host and length.
_OURS: Final = {"Accept": "*/*", "User-Agent": "agentjobs-runner"}
# Number of cached URLs; a runner uses a handful.
_URLS: Final = 32

# The request itself was invalid. 401, 403 and 404 are not here: a replica may not have seen the new pod or token yet.
_REFUSED: Final = frozenset({400, 405, 413, 415, 422})


Instant = Callable[[], float]
"""A monotonic deadline that may change during a wait (SIGTERM makes it earlier)."""


class Backoff:
    """The pause before the next attempt: doubled each time, and at least the gateway's Retry-After.

    Args:
        max_retry_after: a longer Retry-After is ignored.
    """

    def __init__(self, max_retry_after: float = LONGEST_WAIT_SECONDS) -> None:
        self._max_retry_after = max_retry_after
        self._pause = FIRST_PAUSE_SECONDS

    def after(self, error: Unavailable) -> float:
        """Return the seconds to wait after `error`."""
        requested = error.retry_after if isinstance(error, TooManyRequests) else 0.0
        # Half of the pause is random, so that many runners do not return at the same instant.
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311  spreading load, not a secret
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return max(min(requested, self._max_retry_after), pause)


class Gateway:
    """The gateway's API for one start."""

    def __init__(
        self,
        client: httpx.Client,
        token: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._token = token
        self._url = lru_cache(maxsize=_URLS)(partial(_within, client.base_url))
        self._clock = clock
        self._sleep = sleep

    def attempt(self, *, give_up: Instant) -> Attempt:
        """Claim the start for this pod and return its attempt."""
        return cast("Attempt", self._until(give_up, "GET", contract.PATH_ATTEMPT))

    def add_events(self, events: Sequence[TimelineEntry]) -> None:
        """Store events, in one attempt; sending them again is harmless."""
        self._once("POST", contract.PATH_EVENTS, {"events": list(events)})

    def steps(self, after: int) -> StepsPage:
        """Return the page of recorded steps after number `after`, in one attempt."""
        return cast("StepsPage", self._once("GET", f"{contract.PATH_STEPS}?after={after}"))

    def add_steps(self, body: bytes) -> None:
        """Store the steps of a `StepsBody`, already JSON, in one attempt; sending them again is harmless."""
        self._once("POST", contract.PATH_STEPS, body)

    def heartbeat(self) -> None:
        """Send a heartbeat, in one attempt."""
        self._once("POST", contract.PATH_HEARTBEAT, {})

    def put_result(self, document: ResultDocument, *, give_up: Instant) -> Result | None:
        """Store the start's ending and return the job's final result, if any."""
        return cast("Result | None", self._until(give_up, "PUT", contract.PATH_RESULT, document).get("final"))

    def with_retries(
        self,
        request: Callable[[], T],
        *,
        give_up: Instant | None = None,
        failed: Callable[[Unavailable], None] = lambda error: None,
        max_retry_after: float = LONGEST_WAIT_SECONDS,
    ) -> T:
        """Send a request, again and again while the gateway is unavailable.

        Args:
            give_up: no retry begins later; by default two minutes from now.
            failed: called before each retry.
            max_retry_after: a longer Retry-After is ignored.

        Raises:
            Fenced, Invalid, NotFound: immediately.
            Unavailable: after all retries.
        """
        limit = self._clock() + contract.GATEWAY_TIMEOUT_SECONDS
        ends = give_up or (lambda: limit)
        backoff = Backoff(max_retry_after)
        while True:
            try:
                return request()
            except Unavailable as error:
                retry = self._clock() + backoff.after(error)
                if retry >= ends():
                    raise
                failed(error)
            # In slices, because SIGTERM may make `give_up` earlier.
            while (left := min(retry, ends()) - self._clock()) > 0:
                self._sleep(min(left, SLICE_SECONDS))

    def _until(self, give_up: Instant, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        def request() -> Any:
            left = give_up() - self._clock()
            return self._once(method, path, body, seconds=min(REQUEST_SECONDS, max(1.0, left)))

        return self.with_retries(request, give_up=give_up)

    def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        seconds: float = REQUEST_SECONDS,
    ) -> Any:
        content = body if body is None or isinstance(body, bytes) else _written(body)
        headers = {"Content-Type": "application/json"}
        try:
            return answer_of(self.request(method, path, content, headers, seconds=seconds), path)
        except NotFound as error:  # a replica may not have seen the start yet
            raise Unavailable(str(error)) from error

    def request(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = REQUEST_SECONDS,
    ) -> httpx.Response:
        """Send a request, in one attempt, and return the successful response.

        Raises:
            NotFound: the requested object does not exist.
        """
        try:
            headers = {**_OURS, **(headers or {}), "Authorization": f"Bearer {self._token()}"}
            # `Client.request` would merge URL, headers, cookies and timeouts each time: a third of the cost.
            timeout = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)}
            request = httpx.Request(method, self._url(path), headers=headers, content=content, extensions=timeout)
            response = self._client.send(request)
        except OSError as error:
            raise Unavailable(f"cannot read the token: {error.strerror}") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.is_success:
            return response
        raise _error(response, f"{method} {path}")


def connect(environment: Environment, token: Callable[[], str]) -> Gateway:
    """Return the gateway of the environment. Proxies in the environment are for models, not for the gateway.

    Raises:
        Unavailable: the CA for its certificate cannot be read, or the URL is invalid.
    """
    url = environment.gateway_url
    try:
        verify = _trust(environment.gateway_ca) if url.startswith("https") else False
        limits = httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS)
        client = httpx.Client(base_url=url, verify=verify, trust_env=False, limits=limits)
    except OSError as error:
        raise Unavailable(f"{contract.ENV_GATEWAY_CA} {environment.gateway_ca!r:.200}: {error}") from error
    except httpx.InvalidURL as error:
        raise Unavailable(f"{contract.ENV_GATEWAY_URL} {url!r:.200}: {error}") from error
    return Gateway(client, token)


def _trust(authority: str | None) -> ssl.SSLContext:
    """Return a TLS context for `authority`, a PEM text or the path of one; public roots if empty."""
    if authority and authority.lstrip().startswith("-----BEGIN"):
        return ssl.create_default_context(cadata=authority)
    return ssl.create_default_context(cafile=authority)


def _within(base: httpx.URL, path: str) -> httpx.URL:
    """Return the URL of a path, which may have a query."""
    return base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode())


def _written(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def answer_of(response: httpx.Response, path: str) -> Any:
    """Return the JSON object of a response; None for an empty one.

    Raises:
        Unavailable: it is not a JSON object.
    """
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(f"{path}: the response is not a JSON object; check AGENTJOBS_GATEWAY_URL")
    return answer


def _words(response: httpx.Response) -> str:
    """Return the gateway's message; the whole body if another server answered."""
    try:
        body = response.json()
        return f"{body['reason']}: {body['message']}"
    except (ValueError, LookupError, TypeError):
        return response.text


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["reason"])
    except (ValueError, LookupError, TypeError):
        return ""


def _error(response: httpx.Response, what: str) -> AgentJobsError:
    status = response.status_code
    message = f"{what}: {status} {contract.cut(_words(response), 300)}"
    if status == 409:
        return Fenced(message)
    if status == httpx.codes.NOT_FOUND and _reason(response) == "NotFound":
        return NotFound(message)
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return JournalFull(message) if _reason(response) == "JournalFull" else TooLarge(message)
    if status in _REFUSED:
        return Invalid(message)
    seconds = response.headers.get("retry-after", "")
    if seconds.isascii() and seconds.isdigit():
        return TooManyRequests(message, min(float(seconds), LONGEST_WAIT_SECONDS))
    return TooManyRequests(message, 1.0) if status == 429 else Unavailable(message)
