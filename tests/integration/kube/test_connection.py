"""How a client finds its server and authenticates."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes.aio.config import incluster_config

from agentjobs.errors import Misconfigured, Unavailable
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import PODS


def document(url: str, *, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": url, **(cluster or {})}}],
            "users": [{"name": "test", "user": user}],
        }
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 that passes OpenSSL's strict checks, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
            "crl_sign",
        ),
        False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
async def secure_url(certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    """A TLS server that answers every request with the Authorization header it got."""

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"authorization": request.headers.get("Authorization")})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def authorization(client: KubeClient) -> str:
    answer: str = (await client.get(PODS, "ns", "a"))["authorization"]
    return answer


async def test_a_kubeconfig_with_its_own_authority_and_a_token_works(secure_url, certificate, tmp_path):
    authority = base64.b64encode(certificate[0].read_bytes()).decode()
    path = tmp_path / "kubeconfig"
    path.write_text(document(secure_url, user={"token": "secret"}, cluster={"certificate-authority-data": authority}))

    async with KubeClient.connect(str(path)) as client:
        assert await authorization(client) == "Bearer secret"


async def test_a_server_of_another_authority_is_refused(secure_url, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(document(secure_url, user={"token": "secret"}))

    async with KubeClient.connect(str(path)) as client:
        with pytest.raises(Unavailable, match=r"(?i)certificate verify failed"):
            await authorization(client)


async def test_a_token_file_relative_to_the_kubeconfig_works(server, tmp_path):
    server.answer({})
    (tmp_path / "token").write_text("from-file")
    path = tmp_path / "kubeconfig"
    path.write_text(document(server.url, user={"tokenFile": "token"}))

    async with KubeClient.connect(str(path)) as client:
        await client.get(PODS, "ns", "a")

    assert server.requests[0].headers["Authorization"] == "Bearer from-file"


async def test_a_server_below_a_path_works(server, tmp_path):
    server.answer({})
    path = tmp_path / "kubeconfig"
    path.write_text(document(f"{server.url}/clusters/c-1/", user={"token": "t"}))

    async with KubeClient.connect(str(path)) as client:
        await client.get(PODS, "ns", "a")

    assert server.requests[0].path == "/clusters/c-1/api/v1/namespaces/ns/pods/a"


async def test_environment_proxies_are_not_used(client, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answer({})

    await client.get(PODS, "ns", "a")

    assert len(server.requests) == 1


@pytest.fixture
def in_cluster(
    secure_url: str, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The surroundings of a pod; returns its token's path. The library's fixed paths cannot be made writable here."""
    token = tmp_path / "token"
    token.write_text("first")
    host, port = secure_url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate[0]))
    return token


async def test_in_a_cluster_the_pods_token_is_used(in_cluster):
    async with KubeClient.connect(None) as client:
        assert (await authorization(client)).lower() == "bearer first"


async def test_in_a_cluster_a_rotated_token_is_used(in_cluster, monkeypatch):
    clock = _Clock(datetime.now())  # noqa: DTZ005  the library counts in local time
    monkeypatch.setattr(incluster_config.datetime, "datetime", clock, raising=True)
    async with KubeClient.connect(None) as client:
        await authorization(client)
        in_cluster.write_text("second")
        assert (await authorization(client)).lower() == "bearer first"

        clock.time += timedelta(minutes=2)

        assert (await authorization(client)).lower() == "bearer second"


class _Clock:
    """Stands in for the class datetime inside the library's loader, which takes no clock."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time


async def test_outside_of_a_cluster_the_error_names_a_solution(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(Misconfigured, match=r"in-cluster configuration: .*set KUBECONFIG"):
        async with KubeClient.connect(None):
            pass


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("{ not yaml", id="not yaml"),
        pytest.param("[1, 2]", id="a list"),
        pytest.param("just words", id="words"),
        pytest.param("contexts: 7\ncurrent-context: x\n", id="numbers for lists"),
        pytest.param(document("https://127.0.0.1:1", user=None), id="no user"),
        pytest.param(document("https://127.0.0.1:1", user={"tokenFile": "nowhere"}), id="no token file"),
        pytest.param("apiVersion: v1\nkind: Config\ncurrent-context: nowhere\ncontexts: []\n", id="no such context"),
        pytest.param(
            document("https://127.0.0.1:1", user={}, cluster={"certificate-authority": "/no/such"}), id="no CA"
        ),
        pytest.param(
            document("https://127.0.0.1:1", user={}, cluster={"certificate-authority-data": "bm90IGEgY2VydA=="}),
            id="CA is no certificate",
        ),
        pytest.param(
            document("https://127.0.0.1:1", user={}, cluster={"certificate-authority-data": "%%%"}),
            id="CA is no base64",
        ),
    ],
)
async def test_an_invalid_kubeconfig_is_named(tmp_path, content):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)

    with pytest.raises(Misconfigured, match="kubeconfig"):
        async with KubeClient.connect(str(path)):
            pass


async def test_connections_are_reused_and_limited(kubeconfig, server):
    peers: set[Any] = set()

    async def slow(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0.01)
        return web.json_response({})

    server.handler = slow
    async with KubeClient.connect(str(kubeconfig), pool_size=3) as client:
        await asyncio.gather(*(client.get(PODS, "ns", "a") for _ in range(12)))

    assert len(peers) == 3
