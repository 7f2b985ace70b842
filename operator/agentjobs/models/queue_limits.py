"""Limits of queues on model calls: `spec.modelLimits` of AgentQueues, for proxies and statuses."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.models.config import Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.names import Pattern, unique_name

COUNTED: Final[Mapping[str, tuple[Counts, float]]] = {
    "requestsPerMinute": (Counts.REQUESTS, 60.0),
    "tokensPerMinute": (Counts.TOKENS, 60.0),
    "maxConcurrentCalls": (Counts.CALLS, 0.0),
}
"""The limits of an entry: what each counts, and its window in seconds; 0 for concurrent calls."""
# Limits of keys cannot have this prefix, because names of providers contain no colon.
_PREFIX: Final = "queue:"
# A bucket is the key of an index.
_MAX_GROUP: Final = 1000


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """One limit of a queue."""

    models: tuple[str, ...]
    """Patterns of model names."""
    field: str
    """Its field in an entry of `spec.modelLimits`."""
    quota: Quota

    def holds(self, names: Iterable[str]) -> bool:
        """Whether it applies to the model with these names."""
        return any(Pattern(unique_name(text)).matches(name) for text in self.models for name in names)


def limits_of(namespace: str, queue: str, entries: Iterable[Mapping[str, Any]]) -> tuple[QueueLimit, ...]:
    """Return the limits of a queue from `spec.modelLimits`. Of two entries for the same models, the lower limits apply.

    Usage is counted by a limit's models, not by its index, so that entries can be added and removed.
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
    """Return the queue `<namespace>/<name>` of a bucket; None for a limit of a key."""
    return bucket.removeprefix(_PREFIX).partition(" ")[0] if bucket.startswith(_PREFIX) else None


def _group(models: tuple[str, ...]) -> str:
    text = ",".join(models)
    if len(text) <= _MAX_GROUP:
        return text
    return f"{text[:_MAX_GROUP]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"
