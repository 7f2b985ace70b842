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
    ("settings", "field", "value", "word"),
    [
        (
            {"maxLlmCalls": 3},
            "maxLlmCalls",
            "3",
            "custom_metadata",
        ),
        ({"speech_config": {}}, "speech_config", "an object", "custom_metadata"),
        ({"streaming_mode": "BIDI"}, "streaming_mode", '"BIDI"', "not supported"),
        ({"max_llm_calls": 0}, "max_llm_calls", "0", "number of calls"),
        ({"max_llm_calls": True}, "max_llm_calls", "true", "number of calls"),
        ({"max_llm_calls": "9"}, "max_llm_calls", '"9"', "number of calls"),
    ],
    ids=["camel-case", "live-only", "live-mode", "no-limit", "boolean", "text"],
)
def test_unknown_settings_are_refused_with_the_known_ones(
    a_job: Job, settings: dict[str, Any], field: str, value: str, word: str
) -> None:
    (problem,) = validate_job(configured(a_job, **settings))

    assert (problem.field, problem.value) == (f"spec.agent.runConfig.{field}", value)
    assert word in problem.message


def test_the_known_settings_are_sorted_and_unique() -> None:
    assert list(KEYS) == sorted(set(KEYS))
