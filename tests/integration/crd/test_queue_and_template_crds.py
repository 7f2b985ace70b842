"""AgentQueue and AgentTemplate on API servers: what they refuse and accept, and that accepted objects can be edited."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.crdvalues import A_JOB, samples

from agentjobs.api.conditions import Condition
from agentjobs.api.generate.crd import queue_crd, queue_schema, template_crd, template_schema
from agentjobs.api.problems import FieldProblem
from agentjobs.api.queues.status import (
    MAX_LIMITS,
    MAX_SPEND,
    AgentQueueStatus,
    BudgetSpend,
    LimitLeft,
    QueueConditionType,
)
from agentjobs.api.queues.validation import read_queue
from agentjobs.api.raw_status import MAX_COUNT
from agentjobs.api.template.status import AgentTemplateStatus, TemplateConditionType
from agentjobs.api.template.validation import validate_template
from agentjobs.contract import GROUP, VERSION
from devcluster.client import CRDS, ApiError, Client, Resource

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MANY = 2**63 - 1
DRAWN = 60
SMALL_BYTES = 150_000
"""Well below what etcd and `kubectl apply` take of one object."""
# An integer written as 3.0: the schema takes it and a rule that reads it does not.
FRACTION = "invalid data, expected int, got float64"


def _read(name: str, spec: dict[str, Any]) -> list[FieldProblem]:
    read = read_queue(name, spec)
    return read if isinstance(read, list) else []


def _validate(name: str, spec: dict[str, Any]) -> list[FieldProblem]:
    return validate_template({"metadata": {"name": name}, "spec": spec})


@dataclass(frozen=True)
class Kind:
    resource: Resource
    good: dict[str, Any]
    schema: Callable[[], dict[str, Any]]
    definition: Callable[[], dict[str, Any]]
    problems: Callable[[str, dict[str, Any]], list[FieldProblem]]
    """What the operator finds wrong."""
    edit: dict[str, Any]
    status: AgentQueueStatus | AgentTemplateStatus
    """The largest."""

    def path(self) -> str:
        return self.resource.path("default")

    def body(self, spec: dict[str, Any], name: str = "q") -> dict[str, Any]:
        head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": self.resource.kind}
        return head | {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


QUEUE = Kind(
    Resource(GROUP, VERSION, "agentqueues", "AgentQueue"),
    {"concurrency": {"max": 2}},
    queue_schema,
    queue_crd,
    _read,
    {"stopPolicy": "Hold"},
    AgentQueueStatus(
        MANY,
        tuple(Condition(kind, "True", "Reason", "m" * 1024, NOW, 1) for kind in QueueConditionType),
        *(MAX_COUNT,) * 5,
        NOW,
        tuple(BudgetSpend(f"b{n}", "9" * 32, MANY, NOW, "p" * 253) for n in range(MAX_SPEND)),
        tuple(LimitLeft("m" * 1024, "maxConcurrentCalls", MANY, MANY) for _ in range(MAX_LIMITS)),
    ),
)
TEMPLATE = Kind(
    Resource(GROUP, VERSION, "agenttemplates", "AgentTemplate"),
    A_JOB,
    template_schema,
    template_crd,
    _validate,
    {"description": "Other."},
    AgentTemplateStatus(
        MANY, tuple(Condition(kind, "True", "Reason", "m" * 1024, NOW, 1) for kind in TemplateConditionType)
    ),
)
BOTH = pytest.mark.parametrize("kind", [QUEUE, TEMPLATE], ids=["queue", "template"])


async def create(client: Client, kind: Kind, body: dict[str, Any], **params: str) -> dict[str, Any]:
    return await client.request("POST", kind.path(), body=body, params={"fieldValidation": "Strict", **params})


@BOTH
async def test_the_crd_is_established_structural_and_small(client: Client, kind: Kind) -> None:
    made = await client.get(CRDS, None, f"{kind.resource.plural}.{GROUP}")
    said = {condition["type"]: condition["status"] for condition in made["status"]["conditions"]}

    assert said["Established"] == said["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in said
    assert len(json.dumps(kind.definition())) < SMALL_BYTES


BUDGET = {"name": "day", "period": "Daily", "maxTokens": 1}
REFUSED = {
    "queue-name": (QUEUE, "q" * 64, {}, "63 characters"),
    "queue-unknown-field": (QUEUE, "q", {"limit": 3}, 'unknown field "spec.limit"'),
    "two-budgets-of-a-name": (QUEUE, "q", {"budgets": [BUDGET, BUDGET]}, "spec.budgets[1]: Duplicate value"),
    "no-limit": (QUEUE, "q", {"budgets": [{"name": "day", "period": "Daily"}]}, "maxCostUSD, maxTokens or both"),
    "queue-text": (QUEUE, "q", {"concurrency": {"max": "2"}}, "integer"),
    "template-name": (TEMPLATE, "t" * 64, {}, "63 characters"),
    "one-runs-field": (TEMPLATE, "q", {"startAfter": "1h"}, 'unknown field "spec.startAfter"'),
    "no-template-of-templates": (TEMPLATE, "q", {"templateRef": {"name": "x"}}, 'unknown field "spec.templateRef"'),
    "required-with-default": (
        TEMPLATE,
        "q",
        {"parameters": [{"name": "a", "required": True, "default": "x"}]},
        "a required parameter must not have a default",
    ),
    "two-parameters-of-a-name": (TEMPLATE, "q", {"parameters": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
}


@pytest.mark.parametrize(("kind", "name", "spec", "message"), REFUSED.values(), ids=REFUSED)
async def test_the_server_refuses_what_the_operator_refuses_with_a_message(
    client: Client, kind: Kind, name: str, spec: dict[str, Any], message: str
) -> None:
    whole = kind.good | spec

    with pytest.raises(ApiError) as refused:
        await create(client, kind, kind.body(whole, name), dryRun="All")
    assert refused.value.code in (400, 422)
    assert message in str(refused.value)
    assert kind.problems(name, whole) != [], "the operator must refuse it too"


@BOTH
async def test_an_object_with_any_accepted_value_can_still_be_edited(client: Client, kind: Kind) -> None:
    refusals, accepted = [], 0
    for number, drawn in enumerate(samples(kind.schema(), DRAWN, kind.good, kind.resource.kind)):
        name = f"drawn-{number}"
        try:
            await create(client, kind, kind.body(drawn["spec"], name))
        except ApiError as error:
            refusals.append(str(error))
            continue
        accepted += 1
        said = {"status": {"observedGeneration": 1}}
        await client.patch(kind.resource, "default", name, said, subresource="status")
        await client.patch(kind.resource, "default", name, {"spec": kind.edit})

    assert accepted > DRAWN / 6
    assert [one for one in refusals if "evaluating rule" in one and FRACTION not in one] == []


@BOTH
async def test_the_largest_status_fits_the_schema_and_96_kib(client: Client, kind: Kind) -> None:
    await create(client, kind, kind.body(kind.good, "full"))
    body = {"status": kind.status.patch_from({})}

    written = await client.patch(kind.resource, "default", "full", body, subresource="status")

    assert type(kind.status).parse(written["status"]) == kind.status
    assert len(json.dumps(written["status"])) < 96 * 1024


async def test_a_template_can_leave_the_repository_to_its_jobs(client: Client) -> None:
    publish = {"mode": "Branch", "branch": "agents/$(job.name)", "secretRef": {"name": "write"}}

    for number, workspace in enumerate(({"publish": publish}, {"git": {"ref": "main"}})):
        await create(client, TEMPLATE, TEMPLATE.body({"workspace": workspace}, f"publishes-{number}"))
