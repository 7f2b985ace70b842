"""AgentTemplate.status: read tolerantly and written; the rules are those of `api.job.status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from agentjobs.api.conditions import DescribedEnum
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


class TemplateConditionType(DescribedEnum):
    """Aspects of a template's state."""

    VALID = "Valid", "Jobs can use the template, if they set the fields that it omits."


class ValidReason(DescribedEnum):
    """Whether a template is valid."""

    VALID = "Valid", "The spec is valid."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure."


@dataclass(frozen=True, slots=True)
class AgentTemplateStatus:
    """State of the template."""

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
        """Return the whole status with the CRD's names, without None."""
        return cast("dict[str, Any]", plain(self))

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch that turns the raw status `before` into this one; empty when equal."""
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


_KEYS: Final = keys_of(AgentTemplateStatus)
