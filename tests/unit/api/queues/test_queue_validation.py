from typing import Any

import pytest

from agentjobs.api.queues.spec import AgentQueueSpec
from agentjobs.api.queues.validation import read_queue

BUDGET: dict[str, Any] = {"name": "day", "period": "Daily", "maxCostUSD": "20"}


def problems(spec: object, name: str = "fast") -> list[str]:
    read = read_queue(name, spec)
    return [] if isinstance(read, AgentQueueSpec) else list(map(str, read))


def test_a_queue_with_all_fields_is_valid() -> None:
    every = {
        "concurrency": {"max": 0, "perPartition": 2},
        "strategy": "Priority",
        "priorityAging": "10m",
        "rateLimit": {"starts": 60, "period": "1m", "scope": "Partition"},
        "modelLimits": [{"models": ["gemini-*"], "requestsPerMinute": 100}],
        "budgets": [
            {**BUDGET, "timeZone": "Europe/Berlin", "maxTokens": 10, "onExceeded": "Fail", "action": "Suspend"}
        ],
        "stopPolicy": "HoldAndDrain",
        "backlog": {"max": 1, "onFull": "Reject"},
        "defaults": {"timeouts": {"queue": "1h"}, "priority": 4},
        "kueue": {"localQueue": "team-a"},
    }
    assert problems(every, "q" * 63) == []


@pytest.mark.parametrize("spec", [None, {}], ids=["no-spec", "empty"])
def test_a_queue_without_fields_is_valid(spec: object) -> None:
    assert problems(spec) == []


@pytest.mark.parametrize(
    ("spec", "place", "cure"),
    [
        pytest.param(3, "spec: 3 ", "object", id="no-object"),
        pytest.param({"concurency": {}}, "spec.concurency: ", "did you mean concurrency?", id="unknown-field"),
        pytest.param({"concurrency": {"max": -1}}, "spec.concurrency.max: -1 ", "0", id="below-zero"),
        pytest.param({"concurrency": {"perPartition": 0}}, "spec.concurrency.perPartition: 0 ", "1", id="no-room"),
        pytest.param({"rateLimit": {"starts": 0, "period": "1m"}}, "spec.rateLimit.starts: 0 ", "1", id="rate-0"),
        pytest.param({"rateLimit": {"starts": 1}}, "spec.rateLimit.period: ", "required", id="no-period"),
        pytest.param(
            {"rateLimit": {"starts": 1, "period": "10d"}}, 'spec.rateLimit.period: "10d" ', "at most", id="10d"
        ),
        pytest.param({"rateLimit": {"starts": 1, "period": "0s"}}, 'spec.rateLimit.period: "0s" ', "1s", id="0s"),
        pytest.param({"priorityAging": "0s"}, 'spec.priorityAging: "0s" ', "1s", id="aging-0"),
        pytest.param(
            {"defaults": {"timeouts": {"queue": "0s"}}}, 'spec.defaults.timeouts.queue: "0s" ', "1s", id="default-0s"
        ),
        pytest.param({"modelLimits": [{"models": ["m"]}]}, "spec.modelLimits[0]: ", "requestsPerMinute", id="no-limit"),
        pytest.param(
            {"budgets": [{"name": "a", "period": "Daily"}]}, "spec.budgets[0]: ", "maxCostUSD", id="no-budget"
        ),
        pytest.param({"budgets": [BUDGET, BUDGET]}, 'spec.budgets[0].name: "day" ', "two", id="two-of-a-name"),
        pytest.param(
            {"budgets": [{**BUDGET, "timeZone": "berlin"}]},
            'spec.budgets[0].timeZone: "berlin" ',
            "did you mean Europe/Berlin?",
            id="zone",
        ),
        pytest.param(
            {"budgets": [{**BUDGET, "maxCostUSD": "0"}]}, "spec.budgets[0].maxCostUSD: ", "above 0", id="no-dollars"
        ),
    ],
)
def test_problems_are_named_with_a_solution(spec: object, place: str, cure: str) -> None:
    first = problems(spec)[0]

    assert first.startswith(place)
    assert cure in first


def test_errors_of_a_rule_and_of_another_fields_type_are_both_reported() -> None:
    found = problems({"concurrency": {"max": -1}, "priorityAging": "0s", "budgets": [BUDGET, BUDGET], "typo": 1})

    assert {one.partition(":")[0] for one in found} == {
        *("spec.concurrency.max", "spec.typo"),
        *("spec.priorityAging", "spec.budgets[0].name", "spec.budgets[1].name"),
    }


def test_a_name_that_is_not_a_valid_label_value_is_refused() -> None:
    assert problems({}, "q" * 64)[0].startswith("metadata.name: ")
