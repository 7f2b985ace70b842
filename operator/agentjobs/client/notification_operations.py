"""The client's operations on notifications (effects.py); all are requests to the gateway."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from agentjobs.api.recorded_notifications import RecordedNotification, RecordedNotifications, Retried
from agentjobs.client.effects import Operation, Send, Server, Stream
from agentjobs.client.requests import PAGE, KindOperations, paged, segment


@dataclass(frozen=True, slots=True)
class NotificationOperations(KindOperations):
    """The operations on notifications of one namespace."""

    plural: ClassVar[str] = "agentjobs"

    def list(self, *, job: str = "", stuck: bool = False) -> Stream[RecordedNotification]:
        """Emit notifications, newest first: of one job (name or uid), or only failed ones."""
        chosen = {"job": job, "stuck": "true" if stuck else ""}
        params = {"limit": str(PAGE)} | {name: value for name, value in chosen.items() if value}
        return paged(partial(self._read, "notifications"), RecordedNotifications.model_validate, params)

    def retry(self, job: str, *, sink: str = "") -> Operation[int]:
        """Retry a job's failed and given-up notifications now; return how many."""
        below = self._place(f"agentjobs/{segment(job)}/notifications/retry")
        send = Send("POST", below, params={"sink": sink} if sink else {}, server=Server.GATEWAY)
        return Retried.model_validate((yield from self._sent(send))).retried

    def _read(self, below: str, params: dict[str, str]) -> Operation[Any]:
        return (yield from self._sent(Send("GET", self._place(below), params=params, server=Server.GATEWAY)))

    def _place(self, below: str) -> str:
        return f"/v1/namespaces/{segment(self.namespace)}/{below}"
