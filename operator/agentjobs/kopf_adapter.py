"""kopf, reduced to its login and its watches: each event of a watched resource goes to one plain function.

The only module that imports kopf. Events reach that function in the session that kopf is given, before kopf itself
sees them. Only `on.event` handlers are used, because all others write annotations or finalizers into users' objects.
Run by `operator_process`.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import kopf

from agentjobs.api_resource import Resource
from agentjobs.engine.background import Died
from agentjobs.errors import Denied
from agentjobs.kube.watch_session import Begin, IsKnown, Observe, watch_session

# kopf gives its own tasks five seconds to end.
KOPF_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Watch:
    """One resource to watch. `observe` must neither block nor raise."""

    resource: Resource
    observe: Observe
    begin: Begin
    is_known: IsKnown = lambda version: False
    selector: str = ""
    """Label selector of the objects; empty for all."""


async def watch(watches: Iterable[Watch], *, namespaces: tuple[str, ...], stop: asyncio.Event) -> None:
    """Run kopf until `stop` is set.

    Wait for the task that runs this with `ended`.
    """
    watches = tuple(watches)
    await kopf.operator(
        registry=registry(watches, stop=stop),
        settings=kopf_settings(watches),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )


def registry(watches: Iterable[Watch], *, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """Return kopf's handlers: the login, one for each watch, and the end."""
    handlers = kopf.OperatorRegistry()
    watches = tuple(watches)

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> Any:
        info = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return info and KopfSession.make(info, watches)

    for watch in watches:
        _add(handlers, watch)

    @kopf.on.cleanup(registry=handlers)
    async def cleanup(**_: Any) -> None:
        # Otherwise kopf waits five seconds for its own waiter of the flag after a signal.
        stop.set()

    return handlers


def _add(handlers: kopf.OperatorRegistry, watch: Watch) -> None:
    """Register a handler, so that kopf watches. The session passes on only events that it cannot handle."""

    @kopf.on.event(*_selector(watch.resource), id=watch.resource.plural, registry=handlers)
    async def observe(event: Any, **_: Any) -> None:
        watch.observe(event["type"], event["object"])


def _selector(resource: Resource) -> tuple[str, str] | tuple[str, str, str]:
    """Return kopf's selector of a resource: core resources by version and plural."""
    if not resource.group:
        return resource.version, resource.plural
    return resource.group, resource.version, resource.plural


@dataclass(frozen=True, kw_only=True)
class KopfSession(kopf.AiohttpSession):
    """kopf's session, with our lists, and with events that go to our observers.

    Sessions with the same credentials are equal, so that kopf notices when a login returns rejected credentials again,
    and ends.
    """

    aiohttp_session: aiohttp.ClientSession = field(compare=False)
    info: kopf.ConnectionInfo

    @classmethod
    def make(cls, info: kopf.ConnectionInfo, watches: Iterable[Watch]) -> "KopfSession":
        connector = aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context())
        watches = tuple(watches)
        session = watch_session(
            headers=info.as_http_headers(),
            connector=connector,
            proxy=info.proxy_url,
            observers={watch.resource.kind: watch.observe for watch in watches},
            known={watch.resource.kind: watch.is_known for watch in watches},
            lists={watch.resource.kind: watch.begin for watch in watches},
        )
        return cls(
            aiohttp_session=session,
            info=info,
            server=info.server,
            priority=info.priority,
            default_namespace=info.default_namespace,
            expiration=info.expiration,
        )


class StatelessDiffBase(kopf.DiffBaseStorage):
    """Disables kopf's copy of every object, which no handler here needs.

    None instead of an empty copy, which kopf would copy and search at every event.
    """

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return None

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Write nothing into users' objects."""


def kopf_settings(watches: Iterable[Watch] = ()) -> kopf.OperatorSettings:
    """Return kopf's settings, tuned for event handlers only."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = StatelessDiffBase()
    settings.queueing.idle_timeout = 0.5  # workers of idle objects take most of the memory at 10,000 objects
    settings.watching.chunk_size = 1  # its own lists are not used, see `watch_session`
    for watch in watches:
        if watch.selector:
            # A tuple, because the key 'v1/pods' would match nothing, and every pod of the cluster would be streamed.
            settings.watching.label_selectors[_selector(watch.resource)] = watch.selector
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = [0.5, 1, 2, 5, 5, 5, 5, 5, 5, 5]
    for name in ("kopf.objects", "kopf.activities"):  # "Activity 'registry.<locals>.login' succeeded."
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings


async def ended(watching: "asyncio.Task[None]") -> None:
    """Wait for the end of a task that runs `watch`.

    When a watcher fails, kopf cancels the others and the task that pauses them in any order: a watcher may mistake its
    cancellation for a pause and continue, so that kopf waits for it forever. A second cancellation ends it.

    Raises:
        Denied: kopf has no credentials that the API server accepts.
        Died: kopf failed.
    """
    await asyncio.wait({watching}, timeout=KOPF_SECONDS)
    while not watching.done():
        for task in asyncio.all_tasks():
            if task.get_name().startswith("watcher for "):
                task.cancel()
        await asyncio.wait({watching}, timeout=1.0)
    try:
        await watching
    except kopf.LoginError as error:
        raise Denied(str(error)) from error
    except Exception as error:
        raise Died(f"the watches of the API server ended: {type(error).__name__}: {error}") from error
