"""Makes the development server's certificates, admin token and kubeconfig, and signs service account tokens.

Creating a pod runs a command as the user, so the server is never open: TLS with an authority that lives as long as the
folder, one random bearer token, a kubeconfig only its owner can read. Nothing here is meant for other machines.
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
    """Who a request comes from."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] | None = None
    audiences: tuple[str, ...] = (ISSUER,)

    def user_info(self) -> dict[str, Any]:
        """Return it as authentication.k8s.io writes it."""
        info: dict[str, Any] = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


ADMIN_IDENTITY: Final = Identity(ADMIN, ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """What a server of one folder listens with and what its clients need.

    Args:
        kubelet_client: what the server shows when it calls a node.
        node_tls: what a node serves its logs with.
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
        """Return the context of calls to nodes: both sides show a certificate of our authority."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.kubelet_client.certificate, self.kubelet_client.key)
        return context


def make_credentials(folder: Path, *, now: datetime) -> ServerCredentials:
    """Write fresh certificates and keys into `folder`, from then on readable by its owner only; make up a token."""
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

    HMAC-SHA256: issuer and verifier are one process, so nobody else needs a public key.
    """
    head = _encode(orjson.dumps({"alg": "HS256", "typ": "JWT"}))
    body = f"{head}.{_encode(orjson.dumps(claims))}"
    return f"{body}.{_encode(hmac.digest(key, body.encode(), hashlib.sha256))}"


def read_token(key: bytes, token: str) -> dict[str, Any] | None:
    """Return the claims of a token we signed, whatever its age; None for any other text."""
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
