"""Log lines and Events about the operator's actions.

A line contains the object, the decision, its reason, and what was observed. Messages of runners and of invalid specs
are only in the object's status, because they may quote the input of a job.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from agentjobs.api.events import severity
from agentjobs.api_resource import Resource
from agentjobs.contract import cut
from agentjobs.reconcile.ports import Recorder

logger = logging.getLogger(__name__)

MAX_WORDS: Final = 300
MAX_EVENT: Final = 1024


class Named(Protocol):
    """An object's identity."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...


def log_action(event: str, level: int, about: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Log one action, without fields that are None or empty."""
    filled = {key: value for key, value in fields.items() if value is not None and value != ""}
    logger.log(level, event, extra={**about, **filled})


def record_event(recorder: Recorder, resource: Resource, about: Named, reason: str, message: str) -> None:
    """Record a Kubernetes Event about an object."""
    reference = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "namespace": about.namespace,
        "name": about.name,
        "uid": about.uid,
    }
    recorder.record(reference, severity(reason), str(reason), cut(message, MAX_EVENT))
