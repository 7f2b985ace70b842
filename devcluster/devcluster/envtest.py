"""A real kube-apiserver and etcd as children, from the binaries in the folder KUBEBUILDER_ASSETS; downloads nothing.

It has the interface of the embedded API server, so that callers can use either. A bare API server has no controllers:
`controllers` collects garbage, ends namespaces, creates service accounts and binds pods. The ServiceAccount admission
plugin is off, so that pods need not wait for an account.
"""

import asyncio
import contextlib
import datetime
import os
import secrets
import signal
from pathlib import Path

import aiohttp

from devcluster.certificates import Authority, NodeTLS, signing_key
from devcluster.client import SERVICE_ACCOUNTS, ApiError, Client, Object
from devcluster.files import kubeconfig, write_kubeconfig, write_private
from devcluster.ports import free_port
from devcluster.process import Child, spawn

ASSETS = "KUBEBUILDER_ASSETS"
_READY_SECONDS = 60.0  # measured: 4 to 8 s on two busy cores
_STOP_SECONDS = 10.0


class EnvTest:
    """One API server with its own etcd in `folder`. Use it as a context: `async with EnvTest(folder) as server:`.

    Attributes:
        url, token, ca: address and credentials of an administrator; `ca` is the path of a PEM file.
        kubeconfig: path of a kubeconfig with the same.
        node_tls: for a node that serves logs: the server proxies `kubectl logs` there with a client certificate.
    """

    def __init__(self, folder: Path, *, assets: str | None = None, port: int = 0) -> None:
        """`assets` is the folder of the binaries, by default KUBEBUILDER_ASSETS; `port` 0 chooses a free port."""
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
        """Start both programs and return when the API server is ready."""
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
        write_kubeconfig(self.kubeconfig, kubeconfig(self.url, self.ca, self.token))

    async def stop(self) -> None:
        """End both programs, the API server first."""
        while self._children:
            await self._children.pop().stop(_STOP_SECONDS)

    async def compact(self) -> None:
        """Compact the history: watches that reconnect and unfinished lists get 410.

        Restarts the API server, because its watch cache still has what etcd has compacted. Takes seconds.
        """
        async with aiohttp.ClientSession(self._etcd, raise_for_status=True) as etcd:
            async with etcd.post("/v3/kv/range", json={"key": "YQ=="}) as answer:  # any key: only the header is needed
                revision = (await answer.json())["header"]["revision"]
            async with etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True}):
                pass
        await self.end_server(signal.SIGTERM)
        await self.start_server()

    async def end_server(self, number: int = signal.SIGKILL) -> None:
        """Stop the API server and leave etcd running."""
        await self._children.pop().stop(_STOP_SECONDS, number=number)

    def send(self, number: int) -> None:
        """Send the API server a signal that does not end it, such as SIGSTOP."""
        self._children[-1].send(number)

    async def start_server(self) -> None:
        """Start the API server again at its address and return when it is ready."""
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
            "--unsafe-no-fsync",  # the data is temporary, and fsync takes most of the time of a small write
        )

    def _arguments(self, port: int) -> list[str]:
        """Write keys and certificates; return the arguments of the API server."""
        authority = Authority(self._folder, name="ca", now=datetime.datetime.now(datetime.UTC))
        server = authority.server("apiserver", hosts=("localhost", "127.0.0.1", "10.0.0.1"))
        kubelet_client = authority.client("kube-apiserver-kubelet-client", organization="system:masters")
        accounts = signing_key(self._folder, name="service-accounts")
        self.node_tls = NodeTLS(authority.server("node"), authority.certificate)
        tokens = self._folder / "tokens.csv"
        write_private(tokens, f'{self.token},admin,admin,"system:masters"\n'.encode())
        return [
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority.certificate}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # As on OpenShift: to set a blocking owner reference, a client needs permission to update finalizers.
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
                    # The namespace appears a moment after readiness.
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
        if error.code != 409:  # it was created by an earlier start
            raise
