"""Limits of queues on model calls: `spec.modelLimits` of AgentQueues, as proxies take from them and people are told."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.models.config import Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.names import Pattern, undoubled

COUNTED: Final[Mapping[str, tuple[Counts, float]]] = {
    "requestsPerMinute": (Counts.REQUESTS, 60.0),
    "tokensPerMinute": (Counts.TOKENS, 60.0),
    "maxConcurrentCalls": (Counts.CALLS, 0.0),
}
"""The limits of an entry: what each counts, and its window in seconds; 0 for calls at once."""
# No limit of a key begins like that: names of providers have no colon.
_PREFIX: Final = "queue:"
# A bucket is a key of an index.
_MAX_GROUP: Final = 1000


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """One limit of a queue."""

    models: tuple[str, ...]
    """Names of models, with `*`."""
    field: str
    """Its name in an entry of `spec.modelLimits`."""
    quota: Quota

    def holds(self, names: Iterable[str]) -> bool:
        """Whether it holds for the model that has these names."""
        return any(Pattern(undoubled(text)).matches(name) for text in self.models for name in names)


def limits_of(namespace: str, queue: str, entries: Iterable[Mapping[str, Any]]) -> tuple[QueueLimit, ...]:
    """Return the limits of a queue from `spec.modelLimits`. Of two entries for the same models the lower limits hold.

    What is used is counted by the models that a limit is for, not by its place: entries may come and go beside it.
    """
    found: dict[str, QueueLimit] = {}
    for entry in entries:
        models = tuple(sorted(set(entry["models"])))
        for field, (counts, window) in COUNTED.items():
            most = entry.get(field)
            bucket = f"{_PREFIX}{namespace}/{queue} {_group(models)} {field}"
            if most is not None and (bucket not in found or found[bucket].quota.most > most):
                found[bucket] = QueueLimit(models, field, Quota(bucket, counts, most, window))
    return tuple(found.values())


def queue_of(bucket: str) -> str | None:
    """Return the queue `<namespace>/<name>` whose limit a bucket is, None for a limit of a key."""
    return bucket.removeprefix(_PREFIX).partition(" ")[0] if bucket.startswith(_PREFIX) else None


def _group(models: tuple[str, ...]) -> str:
    text = ",".join(models)
    if len(text) <= _MAX_GROUP:
        return text
    return f"{text[:_MAX_GROUP]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"
