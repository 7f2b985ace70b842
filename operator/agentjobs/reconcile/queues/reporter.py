"""Reports a log line and an Event when a queue opens, closes or becomes limited."""

import logging
from typing import Final

from agentjobs.api.conditions import Condition, find_condition
from agentjobs.api.queues.status import AgentQueueStatus, OpenReason, QueueConditionType
from agentjobs.contract import cut
from agentjobs.core.queues.model import Queue
from agentjobs.kube.resources import AGENTQUEUES
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.reporting import MAX_WORDS, log_action, record_event

_CONDITIONS: Final = (QueueConditionType.OPEN, QueueConditionType.LIMITED)


class QueueReporter:
    """Reports changes of queues."""

    def __init__(self, ports: Ports) -> None:
        self._recorder = ports.recorder

    def written(self, queue: Queue, status: AgentQueueStatus) -> None:
        """The status was written; only changes of a condition's reason are reported."""
        for kind in _CONDITIONS:
            before = find_condition(queue.status.conditions, kind)
            after = find_condition(status.conditions, kind)
            if (
                after is None
                or _status_and_reason(before) == _status_and_reason(after)
                or (before is None and _is_usual(after))
            ):
                continue
            record_event(self._recorder, AGENTQUEUES, queue, after.reason, after.message)
            about = {"namespace": queue.namespace, "queue": queue.name, "uid": queue.uid}
            # The message may quote any value of the spec.
            detail = "" if after.reason == OpenReason.INVALID_SPEC else cut(after.message, MAX_WORDS)
            word = "queue.opened" if after.is_true else "queue.closed"
            event = word if kind is QueueConditionType.OPEN else "queue.limited" if after.is_true else "queue.unlimited"
            log_action(event, logging.INFO, about, {"reason": after.reason, "detail": detail})


def _status_and_reason(condition: Condition | None) -> tuple[str, str] | None:
    return None if condition is None else (condition.status, condition.reason)


def _is_usual(condition: Condition) -> bool:
    """Whether this is the usual state of a new queue."""
    return condition.is_true == (condition.type == QueueConditionType.OPEN) and (
        condition.reason != OpenReason.INVALID_SPEC
    )
