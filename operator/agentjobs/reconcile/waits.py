"""Which jobs wait for which other jobs, so that an end wakes exactly those.

Part of the state. If it is lost, waiting jobs are reconciled and recorded again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from agentjobs.contract import LABEL_PARENT
from agentjobs.core.job.awaiting import Wants
from agentjobs.core.queues.admission import JobName


class Waits:
    """The waiting jobs by namespace, by the names that they wait for, and those that wait for labels."""

    def __init__(self) -> None:
        self._wants: dict[str, dict[str, Wants]] = defaultdict(dict)
        self._by_name: dict[JobName, set[str]] = defaultdict(set)
        self._selectors: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)

    def note(self, job: JobName, wants: Wants, selector: Mapping[str, str]) -> None:
        """Set what a job waits for."""
        self.drop(job)
        namespace, name = job
        self._wants[namespace][name] = wants
        for other in wants.names:
            self._by_name[namespace, other].add(name)
        if selector:
            self._selectors[namespace][name] = selector

    def drop(self, job: JobName) -> None:
        """Remove a job that no longer waits or is gone."""
        namespace, name = job
        wants = self._wants[namespace].pop(name, None) if namespace in self._wants else None
        if wants is None:
            return
        for other in wants.names:
            waiting = self._by_name[namespace, other]
            waiting.discard(name)
            if not waiting:
                del self._by_name[namespace, other]
        if namespace in self._selectors:
            self._selectors[namespace].pop(name, None)
            if not self._selectors[namespace]:
                del self._selectors[namespace]
        if not self._wants[namespace]:
            del self._wants[namespace]

    def wants(self, namespace: str) -> Mapping[str, Wants]:
        """Return what each waiting job of a namespace waits for."""
        return self._wants.get(namespace, {})

    def woken_by(self, job: JobName, labels: Mapping[str, str]) -> Iterator[JobName]:
        """Return the jobs that may continue because this one has ended or is gone, or its follow-ups were created."""
        namespace, name = job
        for other in self._by_name.get(job, ()):
            yield namespace, other
        for other, selector in self._selectors.get(namespace, {}).items():
            if selector.get(LABEL_PARENT) == name or selector.items() <= labels.items():
                yield namespace, other
