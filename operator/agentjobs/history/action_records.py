"""Actions of people, as the gateway passes them to history. Pure."""

from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID, uuid4

from agentjobs import contract
from agentjobs.history.sanitize import clean_text

MAX_MESSAGE_BYTES: Final = 1024
# Of a user or a name; the longest that the API server takes for an object's is 253.
MAX_NAME_BYTES: Final = 512

ActionKind = Literal["AgentJob", "AgentQueue", "AgentSchedule", "AgentTemplate", "Session", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action by a person, possibly refused. `stored` cuts and cleans any text."""

    user: str
    impersonated_by: str | None = None
    namespace: str
    kind: ActionKind
    name: str
    uid: str = ""
    action: str
    status: int
    message: str = ""
    id: UUID = field(default_factory=uuid4)
    """Identifies the action, so that writing it twice stores one row."""

    def stored(self) -> dict[str, object]:
        """Return the row that is stored, by columns."""
        by = self.impersonated_by
        return {
            "id": self.id,
            "user_name": _short(self.user),
            "impersonated_by": None if by is None else _short(by),
            "namespace": self.namespace,
            "kind": self.kind,
            "name": _short(self.name),
            "uid": _short(self.uid),
            "action": self.action,
            "status": self.status,
            "message": contract.cut(clean_text(self.message), MAX_MESSAGE_BYTES),
        }


def _short(text: str) -> str:
    return contract.cut(clean_text(text), MAX_NAME_BYTES)
