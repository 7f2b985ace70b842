from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.run_config import KEYS
from agentjobs.api.job.validation import validate_job

Job = Callable[..., dict[str, Any]]


def configured(a_job: Job, **settings: Any) -> dict[str, Any]:
    return a_job(agent={"model": "m", "inline": {}, "runConfig": settings})


def test_settings_of_a_run_are_accepted(a_job: Job) -> None:
    assert validate_job(configured(a_job, max_llm_calls=80, streaming_mode="SSE", labels={"team": "a"})) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"maxLlmCalls": 3},
            "spec.agent.runConfig.maxLlmCalls: 3 is not a setting of a job's run; use custom_metadata",
        ),
        ({"speech_config": {}}, "is not a setting of a job's run"),
        ({"streaming_mode": "BIDI"}, 'spec.agent.runConfig.streaming_mode: "BIDI" is not supported in a job'),
        ({"max_llm_calls": 0}, "spec.agent.runConfig.max_llm_calls: 0 is not a number of calls"),
        ({"max_llm_calls": True}, "is not a number of calls"),
        ({"max_llm_calls": "9"}, "is not a number of calls"),
    ],
    ids=["camel-case", "live-only", "live-mode", "no-limit", "boolean", "text"],
)
def test_unknown_settings_are_refused_with_the_known_ones(a_job: Job, settings: dict[str, Any], said: str) -> None:
    (problem,) = validate_job(configured(a_job, **settings))
    assert said in str(problem)


def test_the_known_settings_are_sorted_and_unique() -> None:
    assert list(KEYS) == sorted(set(KEYS))
