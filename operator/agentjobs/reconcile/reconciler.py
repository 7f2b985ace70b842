"""The reconcilers of all kinds over one state: dispatches a key from the work queue to the kind's loop."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.engine.cache import Name
from agentjobs.engine.kinds import Key, Kind, Reconcile
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.models.config import Models
from agentjobs.models.environment import from_environment
from agentjobs.reconcile.history_feed import HistoryFeed
from agentjobs.reconcile.job.dry_run import DryRun
from agentjobs.reconcile.kinds import KINDS
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.setup import FOLLOW_UP_DEPTH, Setup
from agentjobs.reconcile.state import QUEUE, State


class Reconciler:
    """Reconciles keys of all kinds. `state` is fed by the watches."""

    def __init__(
        self,
        ports: Ports,
        *,
        pods: PodDefaults,
        queues: Mapping[str, int],
        models: Models | None = None,
        sinks: Iterable[str] = (),
        follow_up_depth: int = FOLLOW_UP_DEPTH,
        kinds: Iterable[Kind[Any, Setup]] = KINDS,
    ) -> None:
        """`queues` maps the implicit queues, which every namespace has, to their slots.

        Without `models` the built-in prices apply.
        """
        self._now = ports.now
        self.state = State(kinds, limits=queues, now=ports.now)
        self.state.informers.subscribe(AGENTJOBS, HistoryFeed(ports.writer, ports.now).on_change)
        known = models or from_environment({})
        setup = Setup(
            ports=ports,
            state=self.state,
            pods=pods,
            models=known,
            sinks=frozenset(sinks),
            dry_run=DryRun(ports, pods),
            follow_up_depth=follow_up_depth,
        )
        self._reconcilers: dict[str, Reconcile] = {QUEUE: self._admit}
        for kind in self.state.informers.kinds:
            if kind.reconciler is not None:
                self._reconcilers[kind.resource.kind] = kind.reconciler(setup)

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile one key. Returns the seconds after which to reconcile again even without an event."""
        kind, namespace, name = key
        again = await self._reconcilers[kind]((namespace, name))
        return None if again is None else max(0.0, (again - self._now()).total_seconds())

    async def _admit(self, queue: Name) -> datetime | None:
        return self.state.admit(queue).again

    def history_is_back(self) -> None:
        """Wake everything that may have waited for Postgres, which answers again."""
        self.state.informers.wake_active()
