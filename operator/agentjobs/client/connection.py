"""From an access to HTTP: options of a connection, meaning of responses, causes of failures.

Shared by the blocking and the asyncio transport (transport.py): options for httpx, credentials with renewal, and one
translation of error responses to `agentjobs.errors`. Sends no requests; it only runs exec plugins.
"""

import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

import agentjobs
from agentjobs import errors
from agentjobs.client.kubeconfig import Access, Credentials

# kubectl has no limit for a single response; after half a minute any load balancer gives up on a hung server.
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
PLUGIN_SECONDS: Final = 120.0
# A token is renewed shortly before it expires, because it must still be valid at the server.
RENEW_EARLY_SECONDS: Final = 30.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class NoResult(errors.NotFound):
    """The job exists but has no result: it has not ended yet, or it ended without one."""


class TokenAuth(httpx.Auth):
    """The user's bearer token: constant, from a file or from an exec plugin; the latter two are renewed."""

    def __init__(self, access: Access, credentials: Credentials, expires: float) -> None:
        self._access = access
        self._credentials = credentials
        self._expires = expires

    def token(self, *, renew: bool = False) -> str | None:
        """Return the current token; blocks while a plugin runs."""
        if file := self._credentials.token_file:
            try:
                return file.read_text("utf-8").strip()
            except OSError:
                return self._credentials.token
        aged = renew or time.time() > self._expires - RENEW_EARLY_SECONDS
        if self._credentials.plugin and aged:
            self._credentials, self._expires = with_plugin(self._access.credentials, self._access)
        return self._credentials.token

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with the token; if a plugin's token is rejected, renew it and send once more."""
        response = yield self._with(request, self.token())
        if response.status_code == 401 and self._credentials.plugin:
            yield self._with(request, self.token(renew=True))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same without blocking the loop."""
        import asyncio

        response = yield self._with(request, await asyncio.to_thread(self.token))
        if response.status_code == 401 and self._credentials.plugin:
            yield self._with(request, await asyncio.to_thread(self.token, renew=True))

    def _with(self, request: httpx.Request, token: str | None) -> httpx.Request:
        if token and not (token.isascii() and token.isprintable()):
            # httpx would raise an error that quotes it.
            place = f"context {self._access.context!r} of {self._access.source}"
            raise errors.Misconfigured(f"the token of {place}, or AGENTJOBS_TOKEN, has characters that no token has.")
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server with one user's credentials: everything a connection needs."""

    where: str
    """For error messages: its address, and where the address comes from."""
    url: str
    auth: httpx.Auth | tuple[str, str] | None
    trust: ssl.SSLContext
    cure: str
    """For error messages: what to check if the connection is refused."""
    proxy: str | None = None
    server_name: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client` and `httpx.AsyncClient`."""
        return {
            "base_url": self.url,
            "headers": {"User-Agent": f"agentjobs/{agentjobs.__version__}"},
            "auth": self.auth,
            "verify": self.trust,
            "proxy": self.proxy,
            "timeout": TIMEOUT,
            # Go ignores HTTPS_PROXY for loopback addresses; httpx does not.
            "trust_env": urlsplit(self.url).hostname not in _LOOPBACK,
        }

    @property
    def extensions(self) -> dict[str, Any]:
        """Headers of each request."""
        return {"sni_hostname": self.server_name} if self.server_name else {}

    @contextmanager
    def explained(self, *, quiet: bool = False) -> Iterator[None]:
        """Translate httpx's errors; with `quiet` a broken stream ends normally.

        Raises:
            errors.Unavailable: instead of any error of httpx.
        """
        try:
            yield
        except httpx.ConnectError as error:
            raise errors.Unavailable(f"cannot connect to {self.where}: {error}. {self.cure}") from error
        except (httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError) as error:
            if not quiet:
                raise errors.Unavailable(f"{self.where} did not answer: {_description(error)}.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise errors.Unavailable(f"cannot reach {self.where}: {_description(error)}.") from error

    def answered(self, response: httpx.Response) -> dict[str, Any]:
        """Return the response's object, or raise the error for its status, with the server's message.

        Raises:
            errors.AgentJobsError: by the status.
        """
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict):
            return answer
        if response.is_success:
            raise errors.Unavailable(f"{self.where} answered {response.status_code} without JSON; check the address")
        raise self.refusal(response.status_code, answer if isinstance(answer, dict) else {}, response.headers)

    def bytes_of(self, response: httpx.Response) -> bytes:
        """Return the response's bytes, or raise as `answered`."""
        if not response.is_success:
            self.answered(response)
        return response.content

    def refusal(self, code: int, answer: Mapping[str, Any], headers: Mapping[str, str]) -> errors.AgentJobsError:
        """Return the exception for an error response."""
        message = str(answer.get("message") or f"{self.where} answered {code}")
        match code, answer.get("reason"):
            case 404, "NoResult":
                return NoResult(message)
            case 404, _:
                return errors.NotFound(message)
            case 409, "AlreadyExists":
                return errors.AlreadyExists(message)
            case 409, _:
                return errors.Conflict(message)
            case 410, _:
                return errors.Gone(message)
            case ((400 | 413 | 415 | 422), _):
                return errors.Invalid(message)
            case 401, _:
                return errors.Denied(
                    f"{self.where} rejected your credentials ({message}); log in again, or renew the token."
                )
            case 403, _:
                return errors.Denied(message)
            case 429, _:
                after = headers.get("retry-after", "")
                return errors.TooManyRequests(message, float(after) if after.isascii() and after.isdigit() else 1.0)
            case _ if code >= 500:
                return errors.Unavailable(message)
        return errors.Invalid(message)


def api_server(access: Access) -> Endpoint:
    """Return the API server with the credentials of `access`; runs its exec plugin, if any."""
    credentials, expires = with_plugin(access.credentials, access)
    named = credentials.username and not credentials.token
    return Endpoint(
        where=f"{access.server} (context {access.context!r} of {access.source})",
        url=access.server,
        auth=(credentials.username or "", credentials.password or "")
        if named
        else TokenAuth(access, credentials, expires),
        trust=tls_context(access, credentials),
        cure="Check that the cluster is running.",
        proxy=access.proxy,
        server_name=access.server_name,
    )


def gateway(access: Access, *, url: str | None, ca: str | None, environ: Mapping[str, str]) -> Endpoint:
    """Return the gateway with the credentials of `access`.

    Args:
        url: by default $AGENTJOBS_GATEWAY_URL, else from the kubeconfig.
        ca: path of a PEM file; by default $AGENTJOBS_GATEWAY_CA, else from the kubeconfig, else the system's roots.

    Raises:
        errors.Misconfigured: its address is not configured, or the user has no token.
    """
    known = access.gateway
    configured = url or environ.get("AGENTJOBS_GATEWAY_URL")
    address = (configured or (known.url if known else "")).rstrip("/")
    if configured and not _is_url(address):
        raise errors.Misconfigured(f"invalid gateway address {configured!r}: use https://HOST[:PORT].")
    if not _is_url(address):
        raise errors.Misconfigured(
            f"no gateway address in context {access.context!r} of {access.source}; use --gateway URL (in Python "
            "gateway_url=) or AGENTJOBS_GATEWAY_URL."
        )
    credentials, expires = with_plugin(access.credentials, access)
    if given := environ.get("AGENTJOBS_TOKEN"):
        credentials = Credentials(token=given.strip())
    if not credentials.token:
        raise errors.Misconfigured(
            f"the gateway needs a token, and the user of context {access.context!r} has none (a client "
            "certificate?). Set AGENTJOBS_TOKEN, for example to the output of `kubectl create token ACCOUNT`."
        )
    # The kubeconfig's CA belongs to the kubeconfig's address only.
    own = known if known and address == known.url.rstrip("/") else None
    return Endpoint(
        where=f"the gateway at {address}",
        url=address,
        auth=TokenAuth(access, credentials, expires),
        trust=_trusted(ca or environ.get("AGENTJOBS_GATEWAY_CA"), own.ca if own else None),
        cure="Check that it is running.",
    )


def _description(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _is_url(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def tls_context(access: Access, credentials: Credentials) -> ssl.SSLContext:
    """Return the TLS context for the API server."""
    try:
        context = ssl.create_default_context(cadata=access.ca.decode("ascii") if access.ca else None)
        if not access.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate and credentials.key:
            # The ssl module only reads certificates from files.
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "client.pem"
                path.touch(0o600)
                path.write_bytes(credentials.certificate + b"\n" + credentials.key)
                context.load_cert_chain(path)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise errors.Misconfigured(
            f"the certificates of context {access.context!r} in {access.source} are unusable: {error}."
        ) from error
    return context


def with_plugin(credentials: Credentials, access: Access) -> tuple[Credentials, float]:
    """Run the exec plugin; return credentials and when they expire (Unix time).

    Raises:
        errors.Denied: the plugin is missing, failed, or printed something else.
    """
    plugin = credentials.plugin
    if not plugin or credentials.token:
        return credentials, float("inf")
    command = str(plugin.get("command") or "")
    described = f"the exec plugin {command!r} of context {access.context!r}"
    # As in kubectl, a command with a slash is relative to the kubeconfig, any other is looked up in PATH.
    program = str(credentials.folder / command) if "/" in command else command
    environment = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    try:
        status = dict(json.loads(_printed(program, plugin, environment))["status"])
        until = status.get("expirationTimestamp")
        expires = datetime.fromisoformat(str(until)).timestamp() if until else float("inf")
    except FileNotFoundError:
        hint = str(plugin.get("installHint") or "Install it, or add it to your PATH.")
        raise errors.Denied(f"{described} was not found. {hint}") from None
    except (subprocess.SubprocessError, OSError) as error:
        raise errors.Denied(f"{described} failed: {error}.") from error
    except (ValueError, KeyError, TypeError):
        raise errors.Denied(f"{described} printed no ExecCredential.") from None
    given = replace(
        credentials,
        token=status.get("token"),
        certificate=(status.get("clientCertificateData") or "").encode() or credentials.certificate,
        key=(status.get("clientKeyData") or "").encode() or credentials.key,
    )
    return given, expires


def _printed(program: str, plugin: Mapping[str, Any], environment: Mapping[str, str]) -> bytes:
    """Run an exec plugin, and return what it prints."""
    version = str(plugin.get("apiVersion") or "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    done = subprocess.run(  # noqa: S603  the user's own kubeconfig names the program, as for kubectl
        [program, *map(str, plugin.get("args") or ())],
        env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        stdout=subprocess.PIPE,
        timeout=PLUGIN_SECONDS,
        check=True,
    )
    return done.stdout


def _trusted(path: str | None, data: bytes | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path, cadata=data.decode("ascii") if data and not path else None)
    except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
        raise errors.Misconfigured(f"the gateway's CA {path or 'in the kubeconfig'} is unusable: {error}.") from error
