"""The API server as our callers see it: with their tokens, and without our permissions.

Impersonation is passed on: the API server checks the permission for it again.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from agentjobs.errors import Misconfigured
from agentjobs.kube.client import KubeClient, OnWrite
from agentjobs.kube.connection import load_configuration, open_session
from agentjobs.kube.impersonation import Impersonation


class Callers:
    """Creates clients for tokens. Created by `connect`; belongs to one event loop."""

    def __init__(
        self, session: aiohttp.ClientSession, configuration: Any, *, user_agent: str, on_write: OnWrite
    ) -> None:
        self._session = session
        self._configuration = configuration
        self._user_agent = user_agent
        self._on_write = on_write

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: str | None, *, user_agent: str, on_write: OnWrite) -> AsyncIterator["Callers"]:
        """Open connections during a `with` block.

        Args:
            kubeconfig: as for `KubeClient.connect`; only the API server's address and CA are used.

        Raises:
            Misconfigured: it is missing or broken.
        """
        configuration = await load_configuration(kubeconfig)
        # The API server would prefer our certificate over the caller's token.
        configuration.cert_file = configuration.key_file = None
        try:
            session = open_session(configuration, pool_size=64)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"kubeconfig {kubeconfig or '(in cluster)'}: certificates unusable: {error}") from error
        async with session:
            yield cls(session, configuration, user_agent=user_agent, on_write=on_write)

    def client(self, token: str, impersonation: Impersonation | None = None) -> KubeClient:
        """Return a client that uses only this token, as its owner or as the user whom they impersonate."""
        own = _Bearer(self._configuration.host, self._configuration.tls_server_name, token)
        headers = impersonation.headers() if impersonation else ()
        return KubeClient(self._session, own, user_agent=self._user_agent, on_write=self._on_write, headers=headers)


class _Bearer:
    """The part of a configuration that a client reads. Its repr contains no token."""

    def __init__(self, host: str, tls_server_name: str | None, token: str) -> None:
        self.host = host
        self.tls_server_name = tls_server_name
        self._token = token

    async def get_api_key_with_prefix(self, _identifier: str, alias: str | None = None) -> str:
        """Return the header Authorization."""
        return f"Bearer {self._token}"
