"""An AgentTemplate as a value: identity, parsed template or problems, and its status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from agentjobs.api.conditions import with_condition
from agentjobs.api.problems import FieldProblem, rejection
from agentjobs.api.template.read import Template, template_of
from agentjobs.api.template.status import AgentTemplateStatus, TemplateConditionType, ValidReason
from agentjobs.api.template.validation import validate_template

LEGAL: Final = "jobs can use it"


@dataclass(frozen=True, slots=True)
class AgentTemplate:
    """An AgentTemplate object. Few exist and many jobs read each, so it is validated immediately."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    template: Template | None
    """None if it is invalid."""
    problems: tuple[FieldProblem, ...]
    """Problems of the spec."""
    status: AgentTemplateStatus
    raw_status: Mapping[str, Any]
    """The raw status, for the next patch."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def version(self) -> tuple[str, int]:
        """A value that changes with its spec, and if it is deleted and created again."""
        return self.uid, self.generation


def parse_template(obj: Mapping[str, Any]) -> AgentTemplate:
    """Parse a raw AgentTemplate."""
    meta, spec = obj["metadata"], obj.get("spec")
    problems, generation = validate_template(obj), meta.get("generation", 0)
    legal = not problems and isinstance(spec, Mapping)
    return AgentTemplate(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=generation,
        template=template_of(meta["name"], generation, spec) if legal and isinstance(spec, Mapping) else None,
        problems=tuple(problems),
        status=AgentTemplateStatus.parse(obj.get("status")),
        raw_status=obj.get("status") or {},
    )


def judged_status(template: AgentTemplate, now: datetime) -> AgentTemplateStatus:
    """Return the status with the condition Valid."""
    problems = template.problems
    reason = ValidReason.INVALID_SPEC if problems else ValidReason.VALID
    conditions = with_condition(
        template.status.conditions,
        TemplateConditionType.VALID,
        status=not problems,
        reason=reason,
        message=rejection(problems)[1] if problems else LEGAL,
        now=now,
        generation=template.generation,
    )
    return replace(template.status, observed_generation=template.generation, conditions=conditions)
