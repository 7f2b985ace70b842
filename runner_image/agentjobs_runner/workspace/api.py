"""Requests to a Git host's API, and the meaning of its responses. The token is only sent to the API's own address."""

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from agentjobs_runner.workspace.credentials import AUTHORITY, PASSWORD, TOKEN, USERNAME, Credentials
from agentjobs_runner.workspace.refusals import failed, refused

REQUEST_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
LONGEST_WAIT_SECONDS: Final = 3600.0
_REDIRECTS: Final = 3
_MAX_WORDS: Final = 300


class Odd(Exception):
    """The API rejected the request (409 or 422), with its message."""


class Away(Exception):
    """The API is unavailable."""

    def __init__(self, message: str, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class Login:
    """Return the Secret's credentials for an API: a token, or a user's password.

    Raises:
        StartEnded: it has neither.
    """

    def __init__(self, credentials: Credentials) -> None:
        def value(key: str) -> str:
            if key not in credentials.keys:
                return ""
            return (credentials.folder / key).read_text("utf-8").strip()

        self.user, self.password, self.token = value(USERNAME), value(PASSWORD), value(TOKEN)
        if not (self.token or self.password):
            raise refused("the Secret of publish.secretRef needs the key token to create pull requests")


class Api:
    """One host's API.

    Args:
        url: its address, the base of all paths.
        headers: of each request; with the token.
        authority: file of the CA certificates; None for public roots.
    """

    def __init__(self, url: str, headers: Mapping[str, str], authority: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "agentjobs", "Accept": "application/json", **headers}
        # Not needed for http, and takes a tenth of a second to create.
        verify: ssl.SSLContext | bool = url.startswith("https:")
        self._verify = verify if authority is None else ssl.create_default_context(cafile=authority)

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON at a path.

        Raises:
            Away: it does not respond.
            Odd: it rejects the request.
            StartEnded: a retry would have the same result.
        """
        return self._answer("GET", path, query, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Create an object and return the API's response; raises as `get`."""
        return self._answer("POST", path, {}, body)

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, object] | None) -> Any:
        url, request = httpx.URL(f"{self._url}{path}", params=query or None), f"{method} {path}"
        for _ in range(_REDIRECTS):
            status, headers, content = self._once(method, url, body, request)
            # 301 and 302 would change the method to GET.
            again = (301, 302, 307, 308) if method == "GET" else (307, 308)
            if status not in again or not headers.get("location"):
                return _read(status, headers, content, request)
            url = url.join(headers["location"])
            if _origin(str(url)) != _origin(self._url):
                raise refused(f"{request}: the API redirects to {url.host}; the token is not sent there")
        raise refused(f"{request}: the API redirects in a loop")

    def _once(
        self, method: str, url: httpx.URL, body: Mapping[str, object] | None, request: str
    ) -> tuple[int, httpx.Headers, bytes]:
        try:
            with (
                httpx.Client(verify=self._verify, timeout=REQUEST_SECONDS, follow_redirects=False) as client,
                client.stream(method, url, headers=self._headers, json=body) as response,
            ):
                content = bytearray()
                for part in response.iter_bytes():
                    content += part
                    if len(content) > MAX_ANSWER_BYTES:
                        raise refused(f"{request}: the response is larger than {MAX_ANSWER_BYTES} bytes")
                return response.status_code, response.headers, bytes(content)
        except httpx.DecodingError as error:
            raise refused(f"{request}: the response cannot be read: {error}") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise refused(f"{request}: {error}") from error
        except httpx.HTTPError as error:
            raise Away(f"{request}: {type(error).__name__}: {error}") from error


def authority_of(credentials: Credentials) -> str | None:
    """Return the file of the Secret's CA certificates."""
    return str(credentials.folder / AUTHORITY) if AUTHORITY in credentials.keys else None


def text_of(answer: Any, *names: str) -> str:
    """Return a text in a response.

    Raises:
        StartEnded: it is missing.
    """
    value = answer
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise refused(f"the API's response has no {'.'.join(names)}; check publish.provider and publish.apiUrl")
    return value


def objects_of(answer: Any) -> list[dict[str, Any]]:
    """Return the objects of a list in a response.

    Raises:
        StartEnded: it is not a list.
    """
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise refused("the API's response is not a list; check publish.provider and publish.apiUrl")
    return answer


def _read(status: int, headers: httpx.Headers, content: bytes, request: str) -> Any:
    message = f"{request}: {status} {_words(content)}".rstrip()
    if status in (200, 201):
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise refused(f"{request}: the response is not JSON; check publish.apiUrl") from None
    if status == 429 or status >= 500 or _is_limit(status, headers, content):
        raise Away(message, _wait(headers))
    if status in (409, 422) or (status == 400 and "already" in message):
        raise Odd(message)
    if status in (401, 403):
        raise refused(f"{message}. The token of publish.secretRef may not create pull requests")
    if status == 404:
        raise refused(f"{message}. The repository does not exist, or the token of publish.secretRef has no access")
    raise refused(message)


def _is_limit(status: int, headers: httpx.Headers, content: bytes) -> bool:
    """Whether a 403 is GitHub's response to too many requests."""
    if status != 403:
        return False
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or b"rate limit" in content.lower()


def _wait(headers: httpx.Headers) -> float | None:
    seconds = headers.get("retry-after", "")
    return min(float(seconds), LONGEST_WAIT_SECONDS) if seconds.isascii() and seconds.isdigit() else None


def _words(content: bytes) -> str:
    """Return a response's message, on one line without control characters."""
    text = content.decode("utf-8", "replace")
    try:
        document = json.loads(text)
        found = [document.get("message"), document.get("error"), *_each(document.get("errors"))]
        text = "; ".join(item if isinstance(item, str) else json.dumps(item) for item in found if item)
    except (ValueError, AttributeError, RecursionError):
        if text.lstrip().startswith("<"):
            text = ""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"


def _each(errors: Any) -> list[Any]:
    if not isinstance(errors, list):
        return [errors]
    return [item.get("message") or item if isinstance(item, dict) else item for item in errors]


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default


def unavailable(error: Away) -> Exception:
    """Return the ending for an unavailable API."""
    return failed(f"the pull request could not be created: {error}", error.delay_seconds)
