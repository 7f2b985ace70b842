"""A real kube-apiserver and etcd as children, from the binaries KUBEBUILDER_ASSETS names; nothing is ever downloaded.

The same face as the embedded API server, so that `up` and the tests take either. Like every such server it comes
without controllers: garbage collection, namespaces, service accounts and binding are ours. The ServiceAccount
admission plugin is off, because pods shall not wait for an account to be made for them.
"""

import asyncio
import contextlib
import datetime
import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import aiohttp

from devcluster.certificates import Authority, NodeTLS, signing_key
from devcluster.client import SERVICE_ACCOUNTS, ApiError, Client, Object
from devcluster.ports import free_port
from devcluster.process import Child, spawn

ASSETS = "KUBEBUILDER_ASSETS"
_READY_SECONDS = 60.0  # measured: 4 to 8 s on two busy cores
_STOP_SECONDS = 10.0


class EnvTest:
    """One API server with its own etcd in `folder`. `async with EnvTest(folder) as server:` and use its attributes.

    Attributes:
        url, token, ca: how to reach it as an administrator; `ca` is the path of a PEM file.
        kubeconfig: path of a file that says the same.
        node_tls: for a node that serves logs: the server proxies `kubectl logs` there with a client certificate.
    """

    def __init__(self, folder: Path, *, assets: str | None = None, port: int = 0) -> None:
        """`assets` is the folder of the binaries, by default that of KUBEBUILDER_ASSETS; `port` 0 takes a free one."""
        found = assets or os.environ.get(ASSETS, "")
        if not found or not (Path(found) / "kube-apiserver").exists():
            raise FileNotFoundError(f"{ASSETS}={found!r} names no folder with kube-apiserver and etcd in it")
        self._assets = Path(found)
        self._folder = folder
        self._port = port
        self._children: list[Child] = []
        self._etcd = ""
        self._server: list[str] = []
        self.url = ""
        self.token = secrets.token_urlsafe(32)
        self.ca = folder / "ca.crt"
        self.kubeconfig = folder / "kubeconfig"
        self.node_tls: NodeTLS

    async def __aenter__(self) -> "EnvTest":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start both programs and return once the API server says it is ready."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        etcd_port, peer_port, port = free_port(), free_port(), self._port or free_port()
        self.url = f"https://127.0.0.1:{port}"
        self._etcd = f"http://127.0.0.1:{etcd_port}"
        self._server = self._arguments(port)
        try:
            self._start_etcd(peer_port)
            self._start("kube-apiserver", *self._server)
            await self._ready()
        except BaseException:
            await self.stop()
            raise
        write_private(self.kubeconfig, json.dumps(kubeconfig(self.url, self.ca, self.token), indent=1))

    async def stop(self) -> None:
        """End both programs, the API server first."""
        while self._children:
            await self._children.pop().stop(_STOP_SECONDS)

    async def compact(self) -> None:
        """Forget all history: watches that reconnect get 410, unfinished lists too.

        The API server is started again, because its watch cache remembers what etcd has forgotten. Takes seconds.
        """
        async with aiohttp.ClientSession(self._etcd, raise_for_status=True) as etcd:
            async with etcd.post("/v3/kv/range", json={"key": "YQ=="}) as answer:  # any key: the header is wanted
                revision = (await answer.json())["header"]["revision"]
            async with etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True}):
                pass
        await self.end_server(signal.SIGTERM)
        await self.start_server()

    async def end_server(self, number: int = signal.SIGKILL) -> None:
        """End the API server and leave etcd running."""
        await self._children.pop().stop(_STOP_SECONDS, number=number)

    def send(self, number: int) -> None:
        """Send the API server a signal that does not end it, such as SIGSTOP."""
        self._children[-1].send(number)

    async def start_server(self) -> None:
        """Start the API server again at its address; return once it is ready."""
        self._start("kube-apiserver", *self._server)
        await self._ready()

    def _start_etcd(self, peer_port: int) -> None:
        client, peer = self._etcd, f"http://127.0.0.1:{peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data is thrown away; fsync is most of a small write's time
        )

    def _arguments(self, port: int) -> list[str]:
        """Make keys and certificates; return what the API server is started with."""
        authority = Authority(self._folder, name="ca", now=datetime.datetime.now(datetime.UTC))
        server = authority.server("apiserver", hosts=("localhost", "127.0.0.1", "10.0.0.1"))
        kubelet_client = authority.client("kube-apiserver-kubelet-client", organization="system:masters")
        accounts = signing_key(self._folder, name="service-accounts")
        self.node_tls = NodeTLS(authority.server("node"), authority.certificate)
        tokens = self._folder / "tokens.csv"
        write_private(tokens, f'{self.token},admin,admin,"system:masters"\n')
        return [
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority.certificate}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # As on OpenShift: who names a blocking owner must be allowed to set its finalizers.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={accounts.certificate}",
            f"--service-account-signing-key-file={accounts.key}",
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            f"--kubelet-certificate-authority={authority.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--cert-dir={self._folder / 'unused'}",
        ]

    def _start(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.log").open("ab") as log:
            self._children.append(
                spawn([str(self._assets / program), *arguments], env={"PATH": os.environ["PATH"]}, output=log)
            )

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        async with Client(self.url, token=self.token, ca=self.ca) as client:
            while True:
                with contextlib.suppress(ApiError):
                    await client.request("GET", "/readyz", timeout=2)
                    # Served a moment after readiness: every test wants a namespace to work in.
                    await client.request("GET", "/api/v1/namespaces/default", timeout=2)
                    await _make_account(client)
                    return
                for child in self._children:
                    if child.returncode is not None:
                        raise RuntimeError(f"the API server's parts ended at start; see the logs in {self._folder}")
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"{self.url} not ready in {_READY_SECONDS:.0f} s; see {self._folder}")
                await asyncio.sleep(0.05)


async def _make_account(client: Client) -> None:
    account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    try:
        await client.create(SERVICE_ACCOUNTS, "default", account)
    except ApiError as error:
        if error.code != 409:  # it is there since an earlier start
            raise


def kubeconfig(url: str, ca: Path, token: str, *, user: str = "admin") -> dict[str, Any]:
    """Return a kubeconfig with one cluster, user and context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "agentjobs", "cluster": {"server": url, "certificate-authority": str(ca.resolve())}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "agentjobs", "context": {"cluster": "agentjobs", "user": user}}],
        "current-context": "agentjobs",
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)
