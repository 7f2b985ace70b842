"""An AgentJob as one frozen value, read from the API server's response. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentjobs.api.conditions import ConditionType, Phase, is_true, primary_condition
from agentjobs.api.job.resolve import STEERING
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.client.object import Object, facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Object):
    """An AgentJob at one instant. `AgentJobSpec.model_validate(job.spec)` adds the defaults."""

    status: AgentJobStatus

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Job":
        """Read an object of the API server."""
        return cls(status=AgentJobStatus.parse(body.get("status")), **facts(body))

    @property
    def phase(self) -> Phase:
        """The phase; `Pending` until an operator has seen the job."""
        return self.status.phase or Phase.PENDING

    @property
    def finished(self) -> bool:
        """Whether the job has ended in any way."""
        return is_true(self.status.conditions, ConditionType.FINISHED)

    @property
    def cancelled(self) -> bool:
        """Whether it was ordered to stop for good; it may still be running, or have ended in another way."""
        return self.spec.get("cancel") is True

    @property
    def succeeded(self) -> bool:
        """Whether the job has ended with a result."""
        return is_true(self.status.conditions, ConditionType.COMPLETE)

    @property
    def reason(self) -> str:
        """Why it ended, or what it waits for; empty if there is nothing to report."""
        condition = primary_condition(self.status.conditions)
        return condition.reason if condition else ""

    @property
    def message(self) -> str:
        """The same as a sentence."""
        condition = primary_condition(self.status.conditions)
        return condition.message if condition else ""


Spec = AgentJobSpec | Mapping[str, Any]
"""A spec as in YAML, or as a model."""


def differences(wanted: Mapping[str, Any], have: Mapping[str, Any]) -> list[str]:
    """Return the fields in which the work of two specs differs, such as `input.message`.

    Explicit defaults make no difference, nor do fields that may change later (queue, priority, …).
    """
    try:
        first, second = _work(_whole(wanted)), _work(_whole(have))
    except ValidationError:
        # A newer server's field, or an invalid one: compared literally.
        first, second = _work(wanted), _work(have)
    return sorted(
        {path for path, value in first.items() if path not in second or second[path] != value}
        | {path for path in second if path not in first}
    )


def _whole(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return AgentJobSpec.model_validate(dict(spec)).model_dump(mode="json", by_alias=True, exclude_none=True)


def _work(spec: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_leaves({key: value for key, value in spec.items() if key not in STEERING}, ""))


def _leaves(value: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        path = f"{place}.{key}" if place else key
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, path)
        else:
            yield path, item
