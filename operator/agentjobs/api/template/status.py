"""AgentTemplate.status: read back tolerantly, written again. See `api.job.status` for the rules that all follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from agentjobs.api.conditions import Word
from agentjobs.api.raw_status import (
    Conditions,
    Generation,
    keys_of,
    merge_patch,
    plain,
    read_condition,
    read_count,
    read_objects,
)


class TemplateConditionType(Word):
    """What is said about a template."""

    VALID = "Valid", "Jobs can be made from the template, if they give what it leaves open."


class ValidReason(Word):
    """Whether a template is legal."""

    VALID = "Valid", "No rule is broken."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure."


@dataclass(frozen=True, slots=True)
class AgentTemplateStatus:
    """What is known about the template."""

    observed_generation: Generation = 0
    conditions: Conditions = ()

    @classmethod
    def parse(cls, raw: object) -> "AgentTemplateStatus":
        """Read `status` of an object as it came from the API server. Never raises."""
        if not isinstance(raw, Mapping) or not raw:
            return cls()
        return cls(
            observed_generation=read_count(raw, "observedGeneration", 2**63 - 1),
            conditions=tuple(map(read_condition, read_objects(raw, "conditions"))),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole status with the CRD's names; what is None is left out."""
        return cast("dict[str, Any]", plain(self))

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch that turns the raw status `before` into this one; empty when equal."""
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


_KEYS: Final = keys_of(AgentTemplateStatus)
