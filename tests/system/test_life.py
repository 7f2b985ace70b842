"""What users do and see."""

import json

import pytest

from devcluster.client import PODS, ApiError, Resource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
QUICK = {"starts": [[{"text": "Done."}]]}
SLOW = {"starts": [[{"delay": "10m", "text": "Too late."}]]}  # for jobs that are stopped


async def test_cancelling_stops_a_running_agent_and_ends_the_job(system, job_of):
    await system.apply(*job_of("stopped", SLOW, runtime={"terminationGracePeriodSeconds": 7}))
    await system.running("stopped")
    await system.edit("stopped", cancel=True)
    status = await system.finished("stopped")

    assert status["phase"] == "Cancelled"
    assert status["attempts"] == 1


async def test_a_deleted_job_kept_by_another_finalizer_is_stopped_and_frees_its_session(system, job_of):
    session = {"appName": "shop", "sessionId": "held"}
    script, body = job_of("held", SLOW, session=session, runtime={"terminationGracePeriodSeconds": 6})
    await system.apply(script, {**body, "metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    await system.running("held")
    await system.apply(*job_of("follows", QUICK, session=session))
    await system.delete(AGENTJOBS, "held")
    status = await system.finished("held")
    follows = await system.finished("follows")
    job, pod = await system.job("held"), await system.pod("held-1")
    story = await system.job_history("held")
    await system.client.patch(AGENTJOBS, system.namespace, "held", {"metadata": {"finalizers": None}})

    assert (status["phase"], status["reason"]) == ("Cancelled", "Deleted")
    assert (story["starts"][0]["verdict"], story["starts"][0]["reason"]) == ("Cancel", "JobDeleted")
    assert status["observedGeneration"] == job["metadata"]["generation"]
    assert pod is None
    assert follows["phase"] == "Succeeded"


async def test_a_job_deleted_in_the_foreground_is_removed_when_its_pod_has_ended(system, job_of):
    await system.apply(*job_of("ahead", SLOW, runtime={"terminationGracePeriodSeconds": 6}))
    await system.running("ahead")
    await system.client.delete(AGENTJOBS, system.namespace, "ahead", propagation="Foreground")
    await system.gone("ahead")
    (start,) = (await system.job_history("ahead"))["starts"]

    assert await system.pod("ahead-1") is None
    assert start["reason"] == "JobDeleted"


async def test_a_refused_job_is_deleted_after_its_ttl(system, job_of):
    (body,) = job_of("refused-for-now", ttlSecondsAfterFinished=1, input={"message": "$(job.nmae)"})
    await system.apply(body)
    await system.gone("refused-for-now")
    story = await system.history("refused-for-now")

    assert story["job"]["phase"] == "Failed"


async def test_a_job_waits_for_a_missing_configmap_and_recovers(system, job_of, said):
    script, body = job_of("healed", QUICK)
    await system.apply(body)
    waiting = await system.until("healed", lambda status: said(status, "Accepted", "reason") == "ReferenceNotFound")
    await system.apply(script)
    status = await system.finished("healed")

    assert "ConfigMap healed does not exist" in said(waiting, "Accepted", "message")
    assert status["phase"] == "Succeeded"


async def test_a_job_waits_for_an_unknown_queue_and_says_so(system, job_of, said):
    await system.apply(*job_of("lane", QUICK, queue="fast"))
    status = await system.until("lane", lambda status: said(status, "Accepted") == "False")

    assert said(status, "Accepted", "reason") == "QueueNotFound"
    assert "'fast'" in said(status, "Accepted", "message")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"taks": 1}, 'unknown field "spec.taks"', id="unknown-field"),
        pytest.param({"priority": "high"}, "spec.priority", id="wrong-type"),
        pytest.param({"priority": 17}, "spec.priority", id="out-of-range"),
        pytest.param({"timeouts": {"attempt": "soon"}}, "spec.timeouts.attempt", id="no-duration"),
        pytest.param({"queue": "x" * 10_000}, "spec.queue", id="too-long"),
        pytest.param(
            {"agent": {"model": "gemini-x", "inline": {"name": "morning-brief"}}}, "spec.agent.inline.name", id="name"
        ),
    ],
)
async def test_errors_that_the_schema_detects_are_refused_at_apply(system, job_of, spec, words):
    (body,) = job_of("refused", None, **spec)

    with pytest.raises(ApiError) as refused:
        await system.client.request(
            "POST",
            f"/apis/agentjobs.dev/v1alpha1/namespaces/{system.namespace}/agentjobs?fieldValidation=Strict",
            body=body,
        )

    assert refused.value.code in (400, 422)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        pytest.param("no-message", {"input": {}}, "message", id="no-message"),
        pytest.param("user-name", {"agent": {"model": "gemini-x", "inline": {"name": "user"}}}, "user", id="user"),
        pytest.param(
            "unknown-key",
            {"agent": {"model": "gemini-x", "inline": {"instruction": "Talk about {topic}."}}},
            "topic",
            id="unknown-key-in-an-instruction",
        ),
        pytest.param(
            "two-agents",
            {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}, "module": {"ref": "a.b:c"}}},
            "inline",
            id="two-members",
        ),
    ],
)
async def test_errors_beyond_types_name_the_field_and_the_solution(system, job_of, said, name, change, words):
    refused = await system.refusal(*job_of(name, None, **change))
    if refused:
        # What a rule of the schema can say the API server says, and sooner.
        assert refused.code == 422
        assert words in refused.message
        return
    status = await system.finished(name)

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", "InvalidSpec")
    assert words in said(status, "Accepted", "message")


async def test_an_unknown_name_in_a_text_fails_the_job_and_lists_the_known_ones(system, job_of, said):
    await system.apply(*job_of("misnamed", None, input={"message": "I am $(job.nmae)."}))
    status = await system.finished("misnamed")

    assert said(status, "Accepted", "reason") == said(status, "Failed", "reason") == "UnresolvedReference"
    assert 'spec.input.message: "$(job.nmae)" is not a known name; did you mean $(job.name)?' in said(
        status, "Accepted", "message"
    )


@pytest.mark.parametrize(
    ("name", "agent", "reason", "words"),
    [
        pytest.param("no-module", {"module": {"ref": "nowhere.to:agent"}}, "ModuleNotFound", "nowhere", id="module"),
        pytest.param(
            "no-attribute",
            {"module": {"ref": "examples.agents.weather:nobody"}},
            "ModuleNotFound",
            "nobody",
            id="attribute",
        ),
        pytest.param(
            "no-model", {"model": "parrot-9", "inline": {"instruction": "x"}}, "ConfigInvalid", "parrot-9", id="model"
        ),
        pytest.param(
            "no-tool",
            {"model": "gemini-x", "inline": {"instruction": "x", "tools": [{"name": "shop.tools:buy"}]}},
            "ModuleNotFound",
            "shop",
            id="tool",
        ),
    ],
)
async def test_errors_that_only_the_runner_detects_fail_the_job_once_with_their_class(
    system, job_of, said, name, agent, reason, words
):
    await system.apply(*job_of(name, None, agent=agent))
    status = await system.finished(name)

    assert (status["phase"], status["starts"]) == ("Failed", 1)
    assert said(status, "Failed", "reason") == reason
    assert words in said(status, "Failed", "message")


async def test_a_finished_job_is_deleted_after_its_ttl_and_its_history_is_kept(system, job_of):
    await system.apply(*job_of("brief", QUICK, ttlSecondsAfterFinished=1))
    await system.gone("brief")
    told = await system.history("brief")

    assert "Succeeded" in str(told)


async def test_an_attempt_that_exceeds_its_timeout_is_retried(system, job_of):
    script = {"starts": [[{"delay": "30s", "text": "Too late."}], [{"text": "In time."}]]}
    await system.apply(
        *job_of(
            "late",
            script,
            timeouts={"attempt": "12s"},
            runtime={"terminationGracePeriodSeconds": 2},
            retry={"backoff": {"initial": "1s"}},
        )
    )
    status = await system.finished("late")

    assert [one["reason"] for one in status["attemptHistory"]] == ["AttemptTimeout", ""]
    assert status["attempts"] == 2


async def test_an_agent_without_progress_is_retried(system, job_of):
    script = {"starts": [[{"delay": "60s", "text": "Too late."}], [{"text": "In time."}]]}
    backoff = {"backoff": {"initial": "1s"}}
    await system.apply(*job_of("stuck", script, timeouts={"progress": "6s"}, retry=backoff))
    status = await system.finished("stuck")

    assert [(one["reason"], one["charged"]) for one in status["attemptHistory"]] == [
        ("ProgressTimeout", True),
        ("", False),
    ]
    assert "a model call of stuck did not end" in status["attemptHistory"][0]["message"]


async def test_an_outcome_runs_the_job_again_until_its_rule_is_used_up(system, job_of):
    answers = [[{"text": json.dumps({"outcome": "unsure", "try": number})}] for number in (1, 2)]
    rule = {"name": "look-again", "onOutcomes": ["unsure"], "action": "Retry", "delay": "1s", "limit": 1}
    spec = {
        "output": {"schema": {"type": "object", "required": ["outcome"]}},
        "resultPolicy": {"rules": [rule]},
        "partitionKey": "of-$(job.name)",
    }
    await system.apply(*job_of("unsure", {"starts": answers}, **spec))
    status = await system.finished("unsure")
    told = await system.job_history("unsure")

    assert (status["phase"], status["starts"], status["ruleCounts"]) == ("Succeeded", 2, {"look-again": 1})
    assert status["result"]["structured"] == {"outcome": "unsure", "try": 2}
    assert status["result"]["outcome"] == "unsure"
    assert [(one["verdict"], one["charged"]) for one in status["attemptHistory"]] == [
        ("Succeed", True),
        ("Succeed", False),
    ]
    assert told["job"]["partitionKey"] == "of-unsure"
    assert (await system.history("unsure/result"))["result"]["structured"]["try"] == 2


async def test_a_restricted_job_has_its_own_networkpolicy_which_is_deleted_with_it(system, job_of):
    rule = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}
    await system.apply(*job_of("fenced", QUICK, isolation={"egress": {"mode": "Restricted", "allow": [rule]}}))
    status = await system.finished("fenced")
    policy = await system.policy("fenced-egress")
    await system.event("fenced-1", "NetworkPolicyNotEnforced")
    told = await system.events("fenced-1")
    await system.delete(AGENTJOBS, "fenced")
    # The garbage collector of a cluster that has just learnt of AgentJobs takes half a minute to know them.
    await system.until("fenced-egress", lambda found: found is None, status_of=system.policy)

    assert status["phase"] == "Succeeded"
    assert policy["spec"]["podSelector"]["matchLabels"] == {"agentjobs.dev/job": "fenced"}
    assert policy["spec"]["egress"][-1] == {**rule, "ports": [{"port": 443, "protocol": "TCP"}]}
    assert "cannot enforce NetworkPolicy fenced-egress" in told["NetworkPolicyNotEnforced"]


@pytest.mark.parametrize(
    ("runtime", "field"),
    [
        pytest.param({"affinity": {"nodeAffinty": {}}}, "spec.runtime.affinity.nodeAffinty", id="affinity"),
        pytest.param(
            {"volumes": [{"name": "data", "emptyDir": {"sizeLimt": "1Gi"}}]},
            "spec.runtime.volumes[0].emptyDir.sizeLimt",
            id="volume",
        ),
    ],
)
async def test_a_misspelt_pod_field_is_reported_before_anything_runs(system, job_of, runtime, field):
    name = f"misspelt-{len(field)}"
    await system.apply(*job_of(name, QUICK, runtime=runtime))
    status = await system.finished(name)
    (accepted,) = [one for one in status["conditions"] if one["type"] == "Accepted"]

    assert (status["phase"], status.get("starts", 0), accepted["reason"]) == ("Failed", 0, "InvalidSpec")
    assert accepted["message"].startswith(field)
    assert await system.pod(f"{name}-1") is None


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
async def test_the_networkpolicy_of_a_deleted_job_remains_until_its_pod_is_gone(system, job_of, propagation):
    name = f"deaf-{propagation.lower()}"
    policy, pod = f"{name}-egress", f"{name}-1"
    script = SLOW
    spec = {"isolation": {"egress": {"mode": "Restricted"}}, "runtime": {"terminationGracePeriodSeconds": 6}}
    await system.apply(*job_of(name, script, **spec))
    await system.running(name)
    # Stands in for a container that takes its whole grace period.
    await system.hold(pod, "example.com/deaf")
    await system.client.delete(AGENTJOBS, system.namespace, name, propagation=propagation)
    # The garbage collector has come by, and left the policy to its pod.
    await system.until(policy, lambda found: owners(found) == ["Pod"], status_of=system.policy)
    still = await system.pod(pod)
    await system.delete(PODS, pod)
    await system.hold(pod, None)
    await system.until(policy, lambda found: found is None, status_of=system.policy)

    assert still is not None
    await system.gone(name)


def owners(found):
    return [reference["kind"] for reference in found["metadata"]["ownerReferences"]] if found else []


async def test_a_suspended_job_has_no_pod_and_continues_when_resumed(system, job_of):
    script = {"starts": [[{"delay": "10m", "text": "Too late."}], [{"text": "Resumed."}]]}
    await system.apply(*job_of("paused", script, runtime={"terminationGracePeriodSeconds": 6}))
    await system.running("paused")
    await system.edit("paused", suspend=True)
    held = await system.phase("paused", "Suspended")
    await system.edit("paused", suspend=False)
    status = await system.finished("paused")

    assert held["attemptHistory"][0]["charged"] is False
    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)
