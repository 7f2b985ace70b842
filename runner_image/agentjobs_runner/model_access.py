"""The way to models through the installation's proxy: how clients find it, and what each request to it carries.

The proxy speaks each provider's own API and takes the pod's token for a key. Clients are led there by the variables
that they read in any case, so those that user code, libraries and subprocesses build go there too. Where requests leave
this process, by httpx or its successor as all three providers' clients send them, they get the newest token, because a
client keeps the key that it was made with, and the key of the step that they belong to. Knows no engine.
"""

import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from agentjobs import contract
from agentjobs_runner.log import logger


@dataclass(frozen=True, slots=True)
class ModelStep:
    """The step whose model is being asked."""

    key: str
    """As it is stored."""
    patience: float
    """Seconds that the step waits for a sign of an answer."""


asking: Final[ContextVar[ModelStep | None]] = ContextVar("asking", default=None)
"""None in code that is no step."""
# Less than the step's own, so that the proxy's refusal arrives before the step's time-out.
_MARGIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Provider:
    """How the clients of a provider's API are told where to ask, and with which key.

    `own` are variables by which a job says that it asks elsewhere, or with a key of its own.
    """

    path: str
    urls: tuple[str, ...]
    keys: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


_GEMINI: Final = _Provider(
    contract.MODELS_GEMINI, ("GOOGLE_GEMINI_BASE_URL",), ("GOOGLE_API_KEY",), own=("GEMINI_API_KEY",)
)
# google-genai takes a project or place for those of Google's own host, and forgets them at another address.
_GOOGLE_CLOUD: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")
_VERTEX: Final = _Provider(contract.MODELS_VERTEX, ("GOOGLE_VERTEX_BASE_URL",), own=_GOOGLE_CLOUD)
_PROVIDERS: Final = (
    _GEMINI,
    _VERTEX,
    # Anthropic's client for Vertex AI, whose address has the version.
    _Provider(f"{contract.MODELS_VERTEX}/v1", ("ANTHROPIC_VERTEX_BASE_URL",), own=_GOOGLE_CLOUD),
    _Provider(contract.MODELS_OPENAI, ("OPENAI_BASE_URL", "OPENAI_API_BASE"), ("OPENAI_API_KEY",)),
    _Provider(
        contract.MODELS_ANTHROPIC, ("ANTHROPIC_BASE_URL",), ("ANTHROPIC_API_KEY",), own=("ANTHROPIC_AUTH_TOKEN",)
    ),
)
_USE_VERTEX: Final = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
_KEY_HEADERS: Final = ("x-goog-api-key", "x-api-key")
_CLIENTS: Final = ("httpx", "httpx2")
# What stands in a header as it is: all that is printable in ASCII but the space and what escapes begin with.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class ModelAccess:
    """The model proxy, for one start.

    Args:
        url: its address.
        token: returns the newest token of the pod.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._origin = _origin(urlsplit(self._url))
        base = urlsplit(self._url).path
        self._paths = tuple(f"{base}{provider.path}/" for provider in _PROVIDERS)
        self._keys: tuple[str, ...] = ()

    def lead(self, variables: MutableMapping[str, str], authority: str | None) -> None:
        """Set what clients read, but for the providers that the job asks itself. Call it before user code is imported.

        Args:
            authority: PEM certificates that the proxy's is checked against, or the path of a file of them; None for
                plain http or public roots.
        """
        token = self._token()
        led = [provider for provider in _PROVIDERS if not _is_own(provider, variables)]
        for provider in led:
            # google-genai reads Gemini's address for Vertex AI as well, where a variable makes it speak to that.
            path = _VERTEX.path if provider is _GEMINI and _speaks_vertex(variables) else provider.path
            variables.update(dict.fromkeys(provider.urls, self._url + path))
            # Clients take the one and warn of the other where both are there, though one be empty.
            for name in provider.own:
                variables.pop(name, None)
        self._keys = tuple(name for provider in led for name in provider.keys)
        variables.update(dict.fromkeys(self._keys, token))
        direct = [name for provider in _PROVIDERS if provider not in led for name in provider.urls]
        logger.info("models.led", extra={"url": self._url, "asked_directly": direct})
        # The cluster's proxy for what is outside does not reach what is inside.
        for name in ("NO_PROXY", "no_proxy"):
            hosts = (variables.get(name), urlsplit(self._url).hostname)
            variables[name] = ",".join(host for host in hosts if host)
        if authority:
            _trust(variables, authority)

    def renew(self, variables: MutableMapping[str, str], token: str) -> None:
        """Take in a new token, for the clients and processes that are made from now on."""
        variables.update(dict.fromkeys(self._keys, token))

    def attend(self) -> None:
        """Give each request to the proxy that leaves this process its headers. Call it when clients are imported."""
        for name in _CLIENTS:
            if (module := sys.modules.get(name)) is not None:
                for client in (module.Client, module.AsyncClient):
                    client.send = _attended(client.send, self.give_headers)

    def give_headers(self, request: Any) -> None:
        """Give a request of httpx to the proxy the newest token and its step; leave others alone."""
        url, headers = request.url, request.headers
        if _origin(url) != self._origin or not url.path.startswith(self._paths):
            return
        token = self._token()
        named = [name for name in _KEY_HEADERS if name in headers]
        headers.update(dict.fromkeys(named, token))
        if not named or "Authorization" in headers:
            headers["Authorization"] = f"Bearer {token}"
        for name in (contract.HEADER_STEP, contract.HEADER_PATIENCE):
            headers.pop(name, None)
        if (step := asking.get()) is not None:
            headers[contract.HEADER_STEP] = quote(step.key, safe=_PLAIN)
            headers[contract.HEADER_PATIENCE] = str(int(max(1.0, step.patience - _MARGIN)))


def _is_own(provider: _Provider, variables: Mapping[str, str]) -> bool:
    """Whether the job asks the provider by itself."""
    if any(variables.get(name) for name in (*provider.urls, *provider.keys, *provider.own)):
        return True
    # A key of ours beside credentials of the job's would be what google-genai asks Vertex AI with.
    return provider is _GEMINI and _speaks_vertex(variables) and _is_own(_VERTEX, variables)


def _speaks_vertex(variables: Mapping[str, str]) -> bool:
    return any(variables.get(name, "").lower() in ("true", "1") for name in _USE_VERTEX)


def _origin(url: Any) -> tuple[str, str, int]:
    """Scheme, host and port of a URL of the standard library's or httpx's."""
    return url.scheme, url.hostname if hasattr(url, "hostname") else url.host, url.port or _PORTS.get(url.scheme, 0)


_PORTS: Final = {"http": 80, "https": 443}


def _attended(send: Callable[..., Any], give: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(send)
    def attended(client: Any, request: Any, **options: Any) -> Any:
        give(request)
        return send(client, request, **options)

    return attended


def _trust(variables: MutableMapping[str, str], authority: str) -> None:
    """Make what verifies certificates trust `authority` beside what it trusts already."""
    import certifi  # httpx has loaded it

    public = certifi.where()
    try:
        ours = authority if authority.lstrip().startswith("-----BEGIN") else Path(authority).read_text()
        # Node adds to what it knows; for the others the file is all that they trust.
        for name, known in (("SSL_CERT_FILE", public), ("REQUESTS_CA_BUNDLE", public), ("NODE_EXTRA_CA_CERTS", None)):
            before = variables.get(name) or known
            variables[name] = str(_kept(f"{Path(before).read_text() if before else ''}\n{ours}\n"))
    except OSError as error:
        logger.warning("models.untrusted", extra={"error": str(error)})


def _kept(text: str) -> Path:
    """Return a file with this text. Starts that share a folder for such files, as on one's own machine, share it."""
    path = Path(tempfile.gettempdir(), f"agentjobs-trust-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem")
    # Where others may write as well, a file of theirs is none to trust.
    if path.is_file() and path.stat().st_uid == os.getuid() and path.read_text() == text:
        return path
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    return Path(file.name).replace(path)
