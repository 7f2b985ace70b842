"""Finds the cluster and the credentials: from kubeconfig files as kubectl does, or a pod's service account.

Finds, merges and validates the files; connection.py uses them. Supports tokens, token files, client certificates, exec
plugins and basic passwords; not the auth providers that kubectl 1.26 removed.
"""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from agentjobs.errors import Misconfigured

GATEWAY_EXTENSION: Final = "agentjobs.dev/gateway"
ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder with a pod's token, namespace and cluster CA."""
_Files = Sequence[tuple[Path, Mapping[str, Any]]]
"""The contents of kubeconfig files, with their paths."""


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """The gateway's address, from an extension of the cluster's entry."""

    url: str
    ca: bytes | None
    """PEM; None means the system's roots."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user's credentials; several may be set, as in the file."""

    token: str | None = None
    token_file: Path | None = None
    """File with a token that another program renews; read for each request."""
    username: str | None = None
    password: str | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    plugin: Mapping[str, Any] | None = None
    """The `exec` entry, run before the first request."""
    folder: Path = Path()
    """The base folder of relative paths in the entry, including a plugin's command."""


@dataclass(frozen=True, slots=True)
class Access:
    """One context, ready to use."""

    source: str
    """The files it was read from, for error messages."""
    context: str
    server: str
    namespace: str
    ca: bytes | None
    verify: bool
    server_name: str | None
    proxy: str | None
    credentials: Credentials
    gateway: GatewayAddress | None


def load(
    kubeconfig: str | None,
    *,
    context: str | None,
    environ: Mapping[str, str],
    account_folder: Path = ACCOUNT_FOLDER,
) -> Access:
    """Return the access of a kubeconfig and context; in a pod without a kubeconfig, of its service account.

    The file is `kubeconfig`, else $KUBECONFIG, else ~/.kube/config; the context is `context`, else the current one.

    Raises:
        Misconfigured: the file or context is missing or invalid; the message has the cure.
    """
    paths = _paths(kubeconfig, environ)
    files = [(path, _read(path)) for path in paths if path.is_file()]
    shown = os.pathsep.join(map(str, paths))
    if not files and not kubeconfig and not context and environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environ, account_folder)
    if not files:
        problem = "is not a file" if any(path.exists() for path in paths) else "does not exist"
        raise Misconfigured(
            f"no kubeconfig: {shown} {problem}. Run `agentjobs dev` and the `export KUBECONFIG=…` that it prints, "
            "or name a file with --kubeconfig."
        )
    name = context or next((str(file["current-context"]) for _, file in files if file.get("current-context")), "")
    if not name:
        raise Misconfigured(f"{shown} has no current-context; set --context.")
    return _of_context(files, name, shown)


def _of_context(files: _Files, name: str, shown: str) -> Access:
    """Return the access that the entries of a context describe."""
    _, chosen = _entry(files, "contexts", "context", name, shown)
    cluster_path, cluster = _entry(files, "clusters", "cluster", str(chosen.get("cluster", "")), shown)
    # A context without a user is anonymous, as in kubectl.
    named = chosen.get("user")
    user_path, user = _entry(files, "users", "user", str(named), shown) if named else (cluster_path, {})
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise Misconfigured(f"{cluster_path}: cluster of context {name!r} has invalid server {server!r}; use a URL.")
    return Access(
        source=shown,
        context=name,
        server=server.rstrip("/"),
        namespace=str(chosen.get("namespace") or "default"),
        ca=_content(cluster, "certificate-authority", cluster_path),
        verify=cluster.get("insecure-skip-tls-verify") is not True,
        server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        credentials=_credentials(user, user_path),
        gateway=_gateway(cluster, cluster_path),
    )


def _in_cluster(environ: Mapping[str, str], folder: Path) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        ca = (folder / "ca.crt").read_bytes()
        token = (folder / "token").read_text("utf-8").strip()
    except OSError as error:
        raise Misconfigured(
            f"this pod has no token of its service account: cannot read {error.filename}: {error.strerror}. "
            "Set automountServiceAccountToken: true in its spec, or give a kubeconfig."
        ) from error
    own = folder / "namespace"
    return Access(
        source=str(folder),
        context="in-cluster",
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=own.read_text("utf-8").strip() if own.is_file() else "default",
        ca=ca,
        verify=True,
        server_name=None,
        proxy=None,
        credentials=Credentials(token=token, token_file=folder / "token", folder=folder),
        gateway=None,
    )


def _paths(kubeconfig: str | None, environ: Mapping[str, str]) -> list[Path]:
    if kubeconfig:
        return [Path(kubeconfig).expanduser()]
    listed = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path(environ.get("HOME") or Path.home()) / ".kube" / "config"]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read kubeconfig {path}: {error}.") from error
    except yaml.YAMLError as error:
        # PyYAML quotes the line, which may hold a token.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise Misconfigured(f"kubeconfig {path} is not valid YAML{place}.") from None
    if not isinstance(content, dict):
        raise Misconfigured(f"kubeconfig {path} is empty or not a mapping.")
    return content


def _entry(files: _Files, section: str, key: str, name: str, shown: str) -> tuple[Path, dict[str, Any]]:
    # The first file with the name wins, as in kubectl.
    known = []
    for path, file in files:
        for item in file.get(section) or ():
            if isinstance(item, dict):
                if item.get("name") == name:
                    return path, item.get(key) or {}
                known.append(str(item.get("name")))
    raise Misconfigured(f"{shown} has no {key} {name!r}; it has: {', '.join(known) or 'none'}.")


def _content(entry: Mapping[str, Any], key: str, path: Path) -> bytes | None:
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(str(data), validate=True)
        except (binascii.Error, ValueError):
            raise Misconfigured(f"{path}: {key}-data is not base64.") from None
    if file := entry.get(key):
        try:
            return (path.parent / str(file)).read_bytes()
        except OSError as error:
            raise Misconfigured(f"{path}: cannot read {key} {file}: {error.strerror}.") from error
    return None


def _credentials(user: Mapping[str, Any], path: Path) -> Credentials:
    if "auth-provider" in user:
        raise Misconfigured(f"{path}: auth-provider is not supported, as in kubectl since 1.26; use an exec plugin.")
    token = user.get("token")
    # The file has precedence over the inline token, as in client-go: it is the one that is renewed.
    if file := user.get("tokenFile"):
        token = (_content({"tokenFile": file}, "tokenFile", path) or b"").decode("utf-8", "replace").strip()
    return Credentials(
        token=str(token) if token else None,
        token_file=path.parent / str(file) if file else None,
        username=user.get("username"),
        password=user.get("password"),
        certificate=_content(user, "client-certificate", path),
        key=_content(user, "client-key", path),
        plugin=user.get("exec"),
        folder=path.parent,
    )


def _gateway(cluster: Mapping[str, Any], path: Path) -> GatewayAddress | None:
    for item in cluster.get("extensions") or ():
        if isinstance(item, dict) and item.get("name") == GATEWAY_EXTENSION:
            extension = item.get("extension") or {}
            return GatewayAddress(
                url=str(extension.get("url", "")), ca=_content(extension, "certificate-authority", path)
            )
    return None
