"""The API server as those see it who call us: with their own tokens, and nothing of ours.

Who acts as somebody else does so there, too: the API server is told, and checks the right for it once more.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from agentjobs.errors import Invalid
from agentjobs.kube.client import KubeClient, OnWrite
from agentjobs.kube.connection import load_configuration, open_session
from agentjobs.kube.impersonation import Impersonation


class Callers:
    """Makes clients for tokens. Make it with `connect`; it belongs to one event loop."""

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
        """Open connections for the length of a `with` block.

        Args:
            kubeconfig: as of `KubeClient.connect`; of it only where the API server is and how it is known.

        Raises:
            Invalid: it is missing or broken.
        """
        configuration = await load_configuration(kubeconfig)
        # The API server would take a certificate of ours before a token of theirs.
        configuration.cert_file = configuration.key_file = None
        try:
            session = open_session(configuration, pool_size=64)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"kubeconfig {kubeconfig or '(in cluster)'}: certificates unusable: {error}") from error
        async with session:
            yield cls(session, configuration, user_agent=user_agent, on_write=on_write)

    def client(self, token: str, impersonation: Impersonation | None = None) -> KubeClient:
        """Return a client that asks with this token alone, as its owner or as whom they impersonate."""
        own = _Bearer(self._configuration.host, self._configuration.tls_server_name, token)
        headers = impersonation.headers() if impersonation else ()
        return KubeClient(self._session, own, user_agent=self._user_agent, on_write=self._on_write, headers=headers)


class _Bearer:
    """What a client reads of a configuration. Its text has no token."""

    def __init__(self, host: str, tls_server_name: str | None, token: str) -> None:
        self.host = host
        self.tls_server_name = tls_server_name
        self._token = token

    async def get_api_key_with_prefix(self, _identifier: str, alias: str | None = None) -> str:
        """Return the header Authorization."""
        return f"Bearer {self._token}"
