"""Which jobs wait for which others, so that an end wakes those that it concerns and nobody else.

Held by the state. When it is lost, waiting jobs look again and are noted again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentjobs.contract import LABEL_PARENT
from agentjobs.core.job.awaiting import Wants
from agentjobs.core.queues.admission import JobName


@dataclass(frozen=True, slots=True)
class _Waiting:
    wants: Wants
    selector: Mapping[str, str]


class Waits:
    """The jobs that wait, by namespace, by the names that they wait for, and those that wait for labels."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, _Waiting]] = defaultdict(dict)
        self._by_name: dict[JobName, set[str]] = defaultdict(set)
        self._by_labels: dict[str, set[str]] = defaultdict(set)

    def note(self, job: JobName, wants: Wants, selector: Mapping[str, str]) -> None:
        """Set what a job waits for from now on."""
        self.drop(job)
        namespace, name = job
        self._waiting[namespace][name] = _Waiting(wants, selector)
        for other in wants.names:
            self._by_name[namespace, other].add(name)
        if selector:
            self._by_labels[namespace].add(name)

    def drop(self, job: JobName) -> None:
        """The job does not wait for others, or is gone."""
        namespace, name = job
        known = self._waiting[namespace].pop(name, None) if namespace in self._waiting else None
        if known is None:
            return
        for other in known.wants.names:
            _discard(self._by_name, (namespace, other), name)
        _discard(self._by_labels, namespace, name)
        if not self._waiting[namespace]:
            del self._waiting[namespace]

    def wants(self, namespace: str) -> Mapping[str, Wants]:
        """What each waiting job of a namespace waits for."""
        return {name: one.wants for name, one in self._waiting.get(namespace, {}).items()}

    def woken_by(self, job: JobName, labels: Mapping[str, str]) -> Iterator[JobName]:
        """The jobs that may go on because this one has ended or is gone, or because its follow-ups are made."""
        namespace, name = job
        for other in self._by_name.get(job, ()):
            yield namespace, other
        for other in self._by_labels.get(namespace, ()):
            selector = self._waiting[namespace][other].selector
            if selector.get(LABEL_PARENT) == name or selector.items() <= labels.items():
                yield namespace, other


def _discard(index: dict[str, set[str]] | dict[JobName, set[str]], key: object, name: str) -> None:
    found = index.get(key)  # type: ignore[call-overload]
    if found is not None:
        found.discard(name)
        if not found:
            del index[key]  # type: ignore[arg-type]
