"""Address and credentials of the API server, from a kubeconfig or from our own pod. Only used by the client."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import yaml
from kubernetes.aio import config as untyped_config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from agentjobs.errors import Misconfigured

logger = logging.getLogger(__name__)

# kubernetes.aio has few annotations; integration tests cover the parts that we use.
config: Any = untyped_config

# client-go reads a token from a file or a plug-in again after a minute; the library does so in a pod.
CREDENTIALS_SECONDS: Final = 60.0
# Large lists and watches are read without pauses between parts.
READ_BUFFER_BYTES: Final = 2**21


async def load_configuration(kubeconfig: str | None) -> Any:
    """Read host, certificates and credentials from a kubeconfig, or from our pod when it is None: a `Configuration`."""
    configuration: Any = Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            loader = await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
            configuration.refresh_api_key_hook = Reload(loader)
    except (config.ConfigException, yaml.YAMLError, OSError, *_MALFORMED) as error:
        source = f"kubeconfig {kubeconfig!r}" if kubeconfig else "in-cluster configuration"
        raise Misconfigured(f"{source}: {error}; set KUBECONFIG to a readable file") from error
    return configuration


def open_session(configuration: Any, *, pool_size: int) -> aiohttp.ClientSession:
    """Return a session with the certificates and the proxy of a configuration.

    Raises:
        OSError: a file of the configuration cannot be read.
        ssl.SSLError: a certificate is broken.
    """
    untyped: Any = RESTClientObject  # it reads certificates by the library's rules
    connector = aiohttp.TCPConnector(limit=pool_size, ssl=untyped(configuration).ssl_context)
    # Looking up proxies in environment and netrc costs two thread switches per request; `proxy-url` in a kubeconfig
    # works.
    return aiohttp.ClientSession(
        connector=connector, proxy=configuration.proxy, trust_env=False, read_bufsize=READ_BUFFER_BYTES
    )


# Exceptions of the library's loader for malformed kubeconfigs.
_MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError)


class Reload:
    """Reloads token files and plug-in credentials of a kubeconfig, which may rotate; at most once a minute."""

    def __init__(self, loader: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._loader = loader
        self._clock = clock
        self._due = clock() + CREDENTIALS_SECONDS
        self._lock = asyncio.Lock()

    async def __call__(self, configuration: Configuration) -> None:
        if self._clock() < self._due:
            return
        async with self._lock:
            if self._clock() >= self._due:
                self._due = self._clock() + CREDENTIALS_SECONDS
                try:
                    await self._loader.load_and_set(configuration)
                except (config.ConfigException, OSError, ValueError) as error:
                    # The previous credentials may still be valid; if not, the server rejects them.
                    logger.warning("credentials.unreadable", extra={"error": str(error)})
