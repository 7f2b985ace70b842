"""Access to models through the installation's proxy: the configuration of clients, and the headers of requests.

The proxy has each provider's own API and accepts the pod's token as the key. Clients are configured by their usual
variables, so that clients of user code, libraries and subprocesses use the proxy, too. Requests sent by httpx (as all
three providers' clients do) get the current token, because a client keeps its first key, and the key of their step.
Independent of engines.
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
    """The step that calls a model."""

    key: str
    """In its stored form."""
    max_wait: float
    """How many seconds the step waits for the beginning of an answer."""


current_step: Final[ContextVar[ModelStep | None]] = ContextVar("current_step", default=None)
"""None outside of steps."""
# Below the step's timeout, so that the proxy's response arrives first.
_MARGIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Provider:
    """The variables that configure address and key for a provider's clients.

    A job that sets one of `own` uses another address or its own key.
    """

    path: str
    urls: tuple[str, ...]
    keys: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


_GEMINI: Final = _Provider(
    contract.MODELS_GEMINI, ("GOOGLE_GEMINI_BASE_URL",), ("GOOGLE_API_KEY",), own=("GEMINI_API_KEY",)
)
# google-genai uses project and location for Google's own host, and ignores them at another address.
_GOOGLE_CLOUD: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")
_VERTEX: Final = _Provider(contract.MODELS_VERTEX, ("GOOGLE_VERTEX_BASE_URL",), own=_GOOGLE_CLOUD)
_PROVIDERS: Final = (
    _GEMINI,
    _VERTEX,
    # Anthropic's client for Vertex AI, whose address includes the version.
    _Provider(f"{contract.MODELS_VERTEX}/v1", ("ANTHROPIC_VERTEX_BASE_URL",), own=_GOOGLE_CLOUD),
    _Provider(contract.MODELS_OPENAI, ("OPENAI_BASE_URL", "OPENAI_API_BASE"), ("OPENAI_API_KEY",)),
    _Provider(
        contract.MODELS_ANTHROPIC, ("ANTHROPIC_BASE_URL",), ("ANTHROPIC_API_KEY",), own=("ANTHROPIC_AUTH_TOKEN",)
    ),
)
_USE_VERTEX: Final = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
_KEY_HEADERS: Final = ("x-goog-api-key", "x-api-key")
_CLIENTS: Final = ("httpx", "httpx2")
# Allowed unescaped in a header: printable ASCII except the space and the escape character.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class ModelAccess:
    """The model proxy, for one start.

    Args:
        url: its address.
        token: returns the pod's current token.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._origin = _origin(urlsplit(self._url))
        base = urlsplit(self._url).path
        self._paths = tuple(f"{base}{provider.path}/" for provider in _PROVIDERS)
        self._keys: tuple[str, ...] = ()

    def lead(self, variables: MutableMapping[str, str], authority: str | None) -> None:
        """Set the variables, except for providers that the job calls itself. Call it before importing user code.

        Args:
            authority: the CA certificates of the proxy as PEM, or the path of a file; None for plain http or public
            roots.
        """
        token = self._token()
        led = [provider for provider in _PROVIDERS if not _is_own(provider, variables)]
        for provider in led:
            # google-genai also uses Gemini's address for Vertex AI, if a variable selects that.
            path = _VERTEX.path if provider is _GEMINI and _speaks_vertex(variables) else provider.path
            variables.update(dict.fromkeys(provider.urls, self._url + path))
            # If both are set, even if one is empty, clients use the first and warn of the other.
            for name in provider.own:
                variables.pop(name, None)
        self._keys = tuple(name for provider in led for name in provider.keys)
        variables.update(dict.fromkeys(self._keys, token))
        direct = [name for provider in _PROVIDERS if provider not in led for name in provider.urls]
        logger.info("models.configured", extra={"url": self._url, "direct": direct})
        # The cluster's HTTP proxy does not reach services of the cluster.
        for name in ("NO_PROXY", "no_proxy"):
            hosts = (variables.get(name), urlsplit(self._url).hostname)
            variables[name] = ",".join(host for host in hosts if host)
        if authority:
            _trust(variables, authority)

    def renew(self, variables: MutableMapping[str, str], token: str) -> None:
        """Use a new token for future clients and processes."""
        variables.update(dict.fromkeys(self._keys, token))

    def attend(self) -> None:
        """Add headers to each request of this process to the proxy. Call it after clients were imported."""
        for name in _CLIENTS:
            if (module := sys.modules.get(name)) is not None:
                for client in (module.Client, module.AsyncClient):
                    client.send = _attended(client.send, self.give_headers)

    def give_headers(self, request: Any) -> None:
        """Add the current token and the step to an httpx request to the proxy; leave others unchanged."""
        url, headers = request.url, request.headers
        if _origin(url) != self._origin or not url.path.startswith(self._paths):
            return
        token = self._token()
        named = [name for name in _KEY_HEADERS if name in headers]
        headers.update(dict.fromkeys(named, token))
        if not named or "Authorization" in headers:
            headers["Authorization"] = f"Bearer {token}"
        for name in (contract.HEADER_STEP, contract.HEADER_MAX_WAIT):
            headers.pop(name, None)
        if (step := current_step.get()) is not None:
            headers[contract.HEADER_STEP] = quote(step.key, safe=_PLAIN)
            headers[contract.HEADER_MAX_WAIT] = str(int(max(1.0, step.max_wait - _MARGIN)))


def _is_own(provider: _Provider, variables: Mapping[str, str]) -> bool:
    """Whether the job calls the provider itself."""
    if any(variables.get(name) for name in (*provider.urls, *provider.keys, *provider.own)):
        return True
    # With our key next to the job's credentials, google-genai would use our key for Vertex AI.
    return provider is _GEMINI and _speaks_vertex(variables) and _is_own(_VERTEX, variables)


def _speaks_vertex(variables: Mapping[str, str]) -> bool:
    return any(variables.get(name, "").lower() in ("true", "1") for name in _USE_VERTEX)


def _origin(url: Any) -> tuple[str, str, int]:
    """Scheme, host and port of a URL of the standard library or httpx."""
    return url.scheme, url.hostname if hasattr(url, "hostname") else url.host, url.port or _PORTS.get(url.scheme, 0)


_PORTS: Final = {"http": 80, "https": 443}


def _attended(send: Callable[..., Any], give: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(send)
    def attended(client: Any, request: Any, **options: Any) -> Any:
        give(request)
        return send(client, request, **options)

    return attended


def _trust(variables: MutableMapping[str, str], authority: str) -> None:
    """Add `authority` to the CAs that certificates are verified with."""
    import certifi  # httpx has already loaded it

    public = certifi.where()
    try:
        ours = authority if authority.lstrip().startswith("-----BEGIN") else Path(authority).read_text()
        # Node adds the file to its own CAs; for the others the file has all CAs.
        for name, known in (("SSL_CERT_FILE", public), ("REQUESTS_CA_BUNDLE", public), ("NODE_EXTRA_CA_CERTS", None)):
            before = variables.get(name) or known
            variables[name] = str(_kept(f"{Path(before).read_text() if before else ''}\n{ours}\n"))
    except OSError as error:
        logger.warning("models.untrusted", extra={"error": str(error)})


def _kept(text: str) -> Path:
    """Return a file with this text. Local starts that share the folder share the file."""
    path = Path(tempfile.gettempdir(), f"agentjobs-trust-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem")
    # In a folder that others can write to, an existing file cannot be trusted.
    if path.is_file() and path.stat().st_uid == os.getuid() and path.read_text() == text:
        return path
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    return Path(file.name).replace(path)
