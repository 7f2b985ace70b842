"""The API server over HTTP, as the user of a kubeconfig: plain requests, discovery of a kind's path, watches.

For short-lived, single-threaded commands; the operator's client is kube/client.py. Knows no kind by heart and retries
nothing: the person at the terminal does.
"""

import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from agentjobs import errors
from agentjobs.cli.failures import Failure
from agentjobs.cli.kubeconfig import Access, Credentials
from agentjobs.contract import GROUP, VERSION

# kubectl has no limit for a single answer; half a minute is past every load balancer's patience with a hung server.
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
PLUGIN_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live."""

    group_version: str
    plural: str
    singular: str
    namespaced: bool

    @property
    def shown(self) -> str:
        """`agentjob.agentjobs.dev`, or `configmap` in the core group: what kubectl prints before the slash."""
        group = self.group_version.partition("/")[0] if "/" in self.group_version else ""
        return f"{self.singular}.{group}" if group else self.singular

    def path(self, namespace: str, name: str = "") -> str:
        """The URL's path of one object, or of the collection."""
        root = "apis" if "/" in self.group_version else "api"
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced else ""
        last = f"/{quote(name, safe='')}" if name else ""
        return f"/{root}/{self.group_version}{inside}/{self.plural}{last}"


AGENTJOBS: Final = Kind(group_version=f"{GROUP}/{VERSION}", plural="agentjobs", singular="agentjob", namespaced=True)


class Cluster:
    """A connection to one API server."""

    def __init__(self, access: Access, http: httpx.Client) -> None:
        self.access = access
        self._http = http
        self._kinds: dict[tuple[str, str], Kind] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Return the answer's object.

        Raises:
            errors.NotFound, errors.Conflict, errors.Invalid: so said the server; the message is its own.
            Failure: it could not be asked, or it refused.
        """
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        content = None if body is None else json.dumps(body).encode()
        with self._explained():
            response = self._http.request(method, path, content=content, params=params, headers=headers)
        return self._answered(response)

    def kind(self, api_version: str, kind: str) -> Kind:
        """Look up where objects of a kind live.

        Raises:
            Failure: the server does not serve it.
        """
        if (api_version, kind) not in self._kinds:
            root = "apis" if "/" in api_version else "api"
            try:
                served = self.request("GET", f"/{root}/{quote(api_version)}").get("resources") or []
            except errors.NotFound:
                served = []
            for item in served:
                if "/" not in item["name"]:
                    self._kinds[api_version, item["kind"]] = Kind(
                        group_version=api_version,
                        plural=item["name"],
                        singular=item.get("singularName") or item["kind"].lower(),
                        namespaced=bool(item.get("namespaced")),
                    )
        if (api_version, kind) not in self._kinds:
            raise Failure(
                f"{self.access.server} does not serve kind {kind!r} of {api_version!r}; install its CRD first "
                "(ours: `kubectl apply --server-side -f crds/`)."
            )
        return self._kinds[api_version, kind]

    def watch(
        self, path: str, *, params: Mapping[str, str], accept: str = "application/json", seconds: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch until the server ends it, or none came for `seconds`."""
        timeout = httpx.Timeout(30.0, connect=10.0, read=seconds)
        asked = {"watch": "true", **params}
        with (
            self._explained(quiet=True),
            self._http.stream("GET", path, params=asked, headers={"Accept": accept}, timeout=timeout) as response,
        ):
            if response.status_code != 200:
                response.read()
                self._answered(response)
            for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)

    @contextmanager
    def _explained(self, *, quiet: bool = False) -> Iterator[None]:
        """Say in words what a connection died of; `quiet` takes the end of an open stream for its end."""
        where = f"{self.access.server} (context {self.access.context!r} of {self.access.source})"
        try:
            yield
        except httpx.ConnectError as error:
            raise Failure(f"cannot connect to {where}: {error}. Is the cluster running?") from error
        except (httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError) as error:
            if not quiet:
                raise Failure(f"{where} did not answer: {error or type(error).__name__}.") from error
        except httpx.HTTPError as error:
            raise Failure(f"cannot reach {where}: {error or type(error).__name__}.") from error

    def _answered(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if not isinstance(answer, dict):
            answer = {}
        if response.is_success:
            return answer
        message = str(answer.get("message") or f"{self.access.server} answered {response.status_code}")
        match response.status_code:
            case 404:
                raise errors.NotFound(message)
            case 409:
                raise (
                    errors.AlreadyExists(message)
                    if answer.get("reason") == "AlreadyExists"
                    else errors.Conflict(message)
                )
            case 410:
                raise errors.Gone(message)
            case 400 | 413 | 415 | 422:
                raise errors.Invalid(message)
            case 401:
                raise Failure(
                    f"{self.access.server} does not know you: {message}. Renew the credentials of your kubeconfig."
                )
            case _:
                raise Failure(message)


@contextmanager
def connect(access: Access) -> Iterator[Cluster]:
    """Open a connection; the first request is the first to notice that nobody listens."""
    credentials = _with_plugin(access.credentials, access)
    headers = {"User-Agent": "agentjobs-cli"}
    if credentials.token:
        headers["Authorization"] = f"Bearer {credentials.token}"
    auth = (
        (credentials.username, credentials.password or "") if credentials.username and not credentials.token else None
    )
    with httpx.Client(
        base_url=access.server,
        headers=headers,
        auth=auth,
        verify=tls_context(access, credentials),
        proxy=access.proxy,
        timeout=TIMEOUT,
        # Go leaves loopback addresses out of HTTPS_PROXY by itself; httpx does not.
        trust_env=urlsplit(access.server).hostname not in {"127.0.0.1", "localhost", "::1"},
        event_hooks={"request": [_server_name(access.server_name)]},
    ) as http:
        yield Cluster(replace(access, credentials=credentials), http)


def token_of(access: Access) -> str | None:
    """Return the user's bearer token, asking their exec plugin if there is one; None when they have no token."""
    return _with_plugin(access.credentials, access).token


def tls_context(access: Access, credentials: Credentials) -> ssl.SSLContext:
    """Return what the connection is checked and made with."""
    try:
        context = ssl.create_default_context(cadata=access.ca.decode("ascii") if access.ca else None)
        if not access.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate and credentials.key:
            # The ssl module reads certificates from files alone.
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "client.pem"
                path.touch(0o600)
                path.write_bytes(credentials.certificate + b"\n" + credentials.key)
                context.load_cert_chain(path)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise Failure(
            f"the certificates of context {access.context!r} in {access.source} are unusable: {error}."
        ) from error
    return context


def _server_name(name: str | None) -> Any:
    def hook(request: httpx.Request) -> None:
        if name:
            request.extensions["sni_hostname"] = name

    return hook


def _with_plugin(credentials: Credentials, access: Access) -> Credentials:
    plugin = credentials.plugin
    if not plugin or credentials.token:
        return credentials
    version = str(plugin.get("apiVersion") or "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    command = str(plugin.get("command") or "")
    # A command with a slash is beside the kubeconfig, a bare one on the PATH, as with kubectl.
    program = str(credentials.folder / command) if "/" in command else command
    try:
        done = subprocess.run(  # noqa: S603  the user's own kubeconfig names the program, as for kubectl
            [program, *map(str, plugin.get("args") or ())],
            env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdout=subprocess.PIPE,
            timeout=PLUGIN_SECONDS,
            check=True,
        )
        status = dict(json.loads(done.stdout)["status"])
    except FileNotFoundError:
        hint = str(plugin.get("installHint") or "Install it, or put it on your PATH.")
        raise Failure(f"the exec plugin {command!r} of context {access.context!r} is not there. {hint}") from None
    except (subprocess.SubprocessError, OSError) as error:
        raise Failure(f"the exec plugin {command!r} of context {access.context!r} failed: {error}.") from error
    except (ValueError, KeyError, TypeError):
        raise Failure(f"the exec plugin {command!r} of context {access.context!r} printed no ExecCredential.") from None
    return replace(
        credentials,
        token=status.get("token"),
        certificate=(status.get("clientCertificateData") or "").encode() or credentials.certificate,
        key=(status.get("clientKeyData") or "").encode() or credentials.key,
    )
