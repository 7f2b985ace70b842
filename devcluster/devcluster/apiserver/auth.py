"""Creates the development server's certificates and admin token, and signs service account tokens.

Pods run commands as the user, so the server always requires authentication: it has TLS with its own certificate
authority, a random bearer token, and a kubeconfig that only its owner can read. It is not meant for access from other
machines.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from devcluster.certificates import Authority, KeyPair, NodeTLS

ISSUER: Final = "https://kubernetes.default.svc"
"""Issuer and default audience of service account tokens, as in a kubeadm cluster."""
ADMIN: Final = "development-admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a request."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] | None = None
    audiences: tuple[str, ...] = (ISSUER,)

    def user_info(self) -> dict[str, Any]:
        """Return the userInfo of authentication.k8s.io."""
        info: dict[str, Any] = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


ADMIN_IDENTITY: Final = Identity(ADMIN, ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """The certificates, token and key of a server.

    Args:
        kubelet_client: the server's client certificate for requests to a node.
        node_tls: the certificates of a node's log endpoint.
    """

    authority: Path
    server: KeyPair
    kubelet_client: KeyPair
    node_tls: NodeTLS
    admin_token: str
    signing_key: bytes

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS context of the listening socket."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server.certificate, self.server.key)
        return context

    def kubelet_context(self) -> ssl.SSLContext:
        """Return the TLS context of requests to nodes; both sides have a certificate of the authority."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.kubelet_client.certificate, self.kubelet_client.key)
        return context


def make_credentials(folder: Path, *, now: datetime) -> ServerCredentials:
    """Write new certificates and keys to `folder`, which only its owner can read, and choose a token."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority(folder, name="ca", now=now)
    return ServerCredentials(
        authority=authority.certificate,
        server=authority.server("apiserver"),
        kubelet_client=authority.client("kube-apiserver-kubelet-client", organization="system:masters"),
        node_tls=NodeTLS(authority.server("node"), authority.certificate),
        admin_token=secrets.token_urlsafe(32),
        signing_key=secrets.token_bytes(32),
    )


def sign_token(key: bytes, claims: Mapping[str, Any]) -> str:
    """Return a JSON Web Token (RFC 7519) over `claims`.

    HMAC-SHA256: one process issues and verifies tokens, so a public key is not needed.
    """
    head = _encode(orjson.dumps({"alg": "HS256", "typ": "JWT"}))
    body = f"{head}.{_encode(orjson.dumps(claims))}"
    return f"{body}.{_encode(hmac.digest(key, body.encode(), hashlib.sha256))}"


def read_token(key: bytes, token: str) -> dict[str, Any] | None:
    """Return the claims of a token that `sign_token` made, expired or not; None for any other text."""
    body, dot, signature = token.rpartition(".")
    expected = _encode(hmac.digest(key, body.encode("utf-8", "replace"), hashlib.sha256))
    if not dot or not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        return None
    payload = body.partition(".")[2]
    with contextlib.suppress(ValueError):
        claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims
    return None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
