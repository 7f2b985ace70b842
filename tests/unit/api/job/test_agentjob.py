from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from agentjobs.api.job.agent import ConfigMapKey, scripted_model
from agentjobs.api.job.runtime import Resources
from agentjobs.api.job.spec import AgentJobSpec, SessionKey, default_agent_name, default_app_name
from agentjobs.contract import MAX_DELAY_SECONDS
from agentjobs.durations import MAX_DURATION

Job = Callable[..., dict[str, Any]]


def test_a_minimal_spec_is_fully_defaulted(a_job: Job) -> None:
    spec = AgentJobSpec.model_validate(a_job()["spec"])

    assert (spec.queue, spec.priority, spec.cancel, spec.ttl_seconds_after_finished) == ("agents", 2, False, None)
    assert (spec.retry.max_attempts, spec.retry.max_snoozes, spec.retry.max_infra_restarts) == (3, 100, 10)
    assert (spec.retry.backoff.initial, spec.retry.backoff.max) == (timedelta(seconds=15), timedelta(minutes=10))
    assert spec.timeouts.attempt == timedelta(minutes=30)
    assert spec.runtime.termination_grace_period_seconds == 60


def test_a_null_is_an_absent_field(a_job: Job) -> None:
    raw = a_job()["spec"]
    assert AgentJobSpec.model_validate(raw | {"startAt": None}) == AgentJobSpec.model_validate(raw)


@pytest.mark.parametrize("name", ["hello", "a.b-c", "1st", "user", "class", "x" * 52, "-", "é"])
def test_adk_accepts_default_names(name: str) -> None:
    assert default_agent_name(name).isidentifier()
    assert default_agent_name(name) != "user"
    assert default_app_name(name)[0].isalpha()
    assert default_app_name(name) != "user"


def test_a_job_without_a_session_id_has_its_own_session(a_job: Job) -> None:
    spec = AgentJobSpec.model_validate(a_job()["spec"])

    assert spec.session_key(name="hello", uid="u1") == SessionKey("hello", "system", "u1")
    assert spec.session_key(name="hello", uid="u2") != spec.session_key(name="hello", uid="u1")


def test_jobs_of_the_same_session_have_the_same_key(a_job: Job) -> None:
    session = {"appName": "app", "userId": "jane", "sessionId": "s1"}
    spec = AgentJobSpec.model_validate(a_job(session=session)["spec"])
    assert spec.session_key(name="a", uid="u1") == spec.session_key(name="b", uid="u2")


def test_a_scripted_model_names_a_key_of_a_config_map() -> None:
    assert scripted_model("scripted/script/hello.yaml") == ConfigMapKey("script", "hello.yaml")
    assert scripted_model("gemini-flash-latest") is None


@pytest.mark.parametrize("rest", ["", "a", "a/", "/b", "a/b/c", "A/b", "../b", "a/b c"])
def test_a_scripted_model_without_config_map_and_key_is_refused_with_the_format(rest: str) -> None:
    with pytest.raises(ValueError, match="use scripted/<configmap>/<key>"):
        scripted_model(f"scripted/{rest}")


def test_the_longest_duration_is_the_longest_delay_of_the_contract() -> None:
    assert MAX_DURATION.total_seconds() == MAX_DELAY_SECONDS


@pytest.mark.parametrize(("written", "text"), [(2, "2"), (0.1, "0.1"), ("250m", "250m"), (1e-07, "1e-07")])
def test_a_quantity_has_the_format_of_kubernetes(written: object, text: str) -> None:
    assert Resources.model_validate({"limits": {"cpu": written}}).limits == {"cpu": text}


@pytest.mark.parametrize("written", [True, -1, float("nan"), [], {}, "1 Gi"], ids=repr)
def test_an_invalid_quantity_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValidationError, match="512Mi"):
        Resources.model_validate({"limits": {"cpu": written}})
