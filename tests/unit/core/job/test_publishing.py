"""Jobs whose pod clones before the agent and publishes after it: what each container's end means."""

from datetime import timedelta
from itertools import product

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.api.job.status import PublishedWorkspace
from agentjobs.contract import EXIT_CODES, EXIT_FENCED, Published, TerminationMessage, Verdict
from agentjobs.core.job import progress
from agentjobs.core.job.actions import Again, Claim, Decision, Finish, Keep, ReportPod, StopPod, Suspend
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import FinalResult, Heartbeat, Progress
from agentjobs.core.pods.diagnose import diagnose

UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"
PUBLISHED = Published(branch="agents/x", commit="0a1b", pullRequest="https://github.com/acme/papers/pull/1")
SPEC = {
    "workspace": {
        "git": {"url": "https://github.com/acme/papers"},
        "publish": {"mode": "Branch", "branch": "agents/x", "secretRef": {"name": "writer"}},
    }
}
WAITS = {"state": {"waiting": {"reason": "PodInitializing"}}}
RUNS = {"state": {"running": {"startedAt": "2026-11-21T09:00:00Z"}}}


def word(verdict, reason="", *, published=None, **more):
    return TerminationMessage(verdict, reason, "because", 1, UID, None, "Hello.", published=published, **more).dump()


def ended(message="", code=0, reason="Completed", at="09:00:30"):
    times = {"startedAt": "2026-11-21T09:00:00Z", "finishedAt": f"2026-11-21T{at}Z"}
    return {"state": {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}}


def said(verdict, reason="", **more):
    return ended(word(verdict, reason, **more), EXIT_CODES[verdict])


DONE = said(Verdict.SUCCEED)
PUBLISHES = said(Verdict.SUCCEED, published=PUBLISHED)


def in_pod(seen, clone=DONE, runner=DONE, publish=WAITS, **status):
    first = [{"name": "workspace", **clone}, {"name": "runner", **runner}]
    phase = status.pop("phase", "Pending")
    return seen.pod(
        phase=phase, initContainerStatuses=first, containerStatuses=[{"name": "publish", **publish}], **status
    )


def claimed(scene, **spec):
    return scene(**SPEC, **spec).claimed()


def answer_of(seen):
    return decide(seen.observation, seen.now)


def end_of(seen):
    return answer_of(seen).action


def test_a_job_succeeds_with_its_publication(scene):
    seen = in_pod(claimed(scene), publish=PUBLISHES, phase="Succeeded")
    end = end_of(seen)

    assert (end.next_step.phase, end.next_step.published) == (Phase.SUCCEEDED, PUBLISHED)
    result = seen.written(end).job.status.result
    assert result.summary == "Hello."
    assert result.workspace == PublishedWorkspace("agents/x", "0a1b", PUBLISHED["pullRequest"])


def test_a_job_whose_agent_changed_nothing_succeeds_without_a_branch(scene):
    nothing = said(Verdict.SUCCEED, published=Published(branch="", commit=""))
    end = end_of(in_pod(claimed(scene), publish=nothing, phase="Succeeded"))

    assert (end.next_step.phase, end.next_step.published["branch"]) == (Phase.SUCCEEDED, "")


@pytest.mark.parametrize(
    ("publish", "status", "reason"),
    [
        (said(Verdict.RETRY, "PublishFailed"), {}, "PublishFailed"),
        (ended(), {}, "PublishFailed"),
        (ended("{}", 1), {}, "PublishFailed"),
        (said(Verdict.SUCCEED), {}, "PublishFailed"),
        (ended("", 137, "OOMKilled"), {}, "OOMKilled"),
        (ended("", 137), {"reason": "DeadlineExceeded"}, "AttemptTimeout"),
    ],
    ids=["failed", "silent", "crashed", "without-what", "for-memory", "deadline"],
)
def test_an_unpublished_answer_is_published_by_the_next_start(scene, publish, status, reason):
    end = end_of(in_pod(claimed(scene), publish=publish, phase="Failed", **status))

    assert (end.record.verdict, end.record.reason, end.record.charged) == ("Retry", reason, True)
    assert isinstance(end.next_step, Again)


def test_the_next_start_continues_the_run_with_kept_files(scene):
    seen = in_pod(claimed(scene), publish=said(Verdict.RETRY, "PublishFailed"), phase="Failed")
    seen = seen.written(end_of(seen)).later(hours=1).granted()
    seen.pods.clear()

    assert end_of(seen) == Claim(start=2, attempt=2, afresh=False)


def test_a_refused_publication_fails_the_job_which_keeps_its_answer(scene):
    seen = in_pod(claimed(scene), publish=said(Verdict.FAIL, "PublishRefused"), phase="Failed")
    end = end_of(seen)

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "PublishRefused")
    assert end.next_step.published is None


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        ({"meta": {"deletionTimestamp": "2026-11-21T09:01:00Z"}}, "RunnerLost"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]},
            "Evicted",
        ),
        ({"reason": "NodeLost"}, "NodeLost"),
    ],
    ids=["deleted", "evicted", "node-lost"],
)
@pytest.mark.parametrize("publish", [WAITS, ended("", 137, "Error")], ids=["before", "during"])
def test_a_pod_lost_with_a_stored_answer_is_followed_by_a_start_that_publishes(scene, pod, reason, publish):
    answer = {"text": "Hello.", "structured": None, "usage": {}}
    seen = in_pod(claimed(scene).knowing(result=FinalResult(answer)), publish=publish, phase="Failed", **pod)
    end = end_of(seen)

    assert (end.record.verdict, end.record.reason) == ("Snooze", reason)
    assert end.next_step.infra


WORDS = [
    None,
    *(word(verdict, "ToolError") for verdict in (Verdict.RETRY, Verdict.SNOOZE, Verdict.FAIL, Verdict.CANCEL)),
    word(Verdict.SNOOZE, "Interrupted"),
    word(Verdict.SUCCEED),
    word(Verdict.SUCCEED, published=PUBLISHED),
    "no word",
]
CODES = [0, 1, EXIT_FENCED]
PODS = [
    {},
    {"reason": "DeadlineExceeded"},
    {"reason": "Evicted"},
    {"meta": {"deletionTimestamp": "2026-11-21T09:01:00Z"}},
]


@pytest.mark.parametrize("runner", list(product(WORDS, CODES)), ids=lambda one: f"{WORDS.index(one[0])}-{one[1]}")
def test_a_success_requires_messages_of_agent_and_publisher(scene, runner):
    ends = [None, *product(WORDS, CODES)]
    for publish, pod in product(ends, PODS):
        last = WAITS if publish is None else ended(publish[0] or "", publish[1])
        seen = in_pod(claimed(scene), runner=ended(runner[0] or "", runner[1]), publish=last, phase="Failed", **pod)
        (found,) = seen.observation.pods
        both = runner[1] == 0 and runner[0] in WORDS[-3:-1] and publish is not None and publish[0] == WORDS[-2]

        assert (diagnose(found).verdict is Verdict.SUCCEED) == both


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.FAIL, Verdict.SNOOZE])
def test_the_message_of_a_runner_that_exits_with_0_counts(scene, verdict):
    runner = ended(word(verdict, "ToolError"), 0)
    end = end_of(in_pod(claimed(scene), runner=runner, publish=PUBLISHES, phase="Succeeded"))

    assert (end.record.verdict, end.record.reason) == (verdict, "ToolError")


def test_a_success_whose_container_failed_is_not_published(scene):
    end = end_of(in_pod(claimed(scene), runner=ended(word(Verdict.SUCCEED), 1), phase="Failed"))

    assert (end.record.verdict, end.record.reason) == ("Retry", "PublishFailed")


@pytest.mark.parametrize("failed", [said(Verdict.FAIL, "RepositoryInvalid"), ended("", 137, "OOMKilled")])
def test_a_start_can_end_in_the_cloning_container(scene, failed):
    end = end_of(in_pod(claimed(scene), clone=failed, runner=WAITS))

    assert end.record.reason in ("RepositoryInvalid", "OOMKilled")


def test_a_pod_has_not_ended_between_agent_and_publishing(scene):
    seen = in_pod(claimed(scene))

    assert not seen.observation.pods[0].ended
    assert isinstance(end_of(seen), Keep)


def test_a_pod_past_its_deadline_has_not_ended_while_it_publishes(scene):
    seen = in_pod(claimed(scene), publish=RUNS, phase="Failed", reason="DeadlineExceeded")

    assert not seen.observation.pods[0].ended


@pytest.mark.parametrize("containers", [{"clone": RUNS, "runner": WAITS}, {"publish": RUNS}], ids=["clone", "publish"])
def test_heartbeats_are_expected_only_from_the_agent(scene, containers):
    silent = Heartbeat(timedelta(hours=2))
    seen = in_pod(claimed(scene), **containers).knowing(heartbeat=silent).later(hours=2)

    assert isinstance(end_of(seen), Keep)


def test_heartbeats_are_expected_from_an_agent_in_an_init_container(scene):
    seen = in_pod(claimed(scene), runner=RUNS).knowing(heartbeat=Heartbeat(timedelta(hours=2))).later(hours=2)

    assert end_of(seen).reason == "Silent"


def test_no_heartbeats_are_expected_while_cloning(scene):
    seen = in_pod(claimed(scene), clone=RUNS, runner=WAITS).later(hours=2)

    assert isinstance(end_of(seen), Keep)


def test_a_container_waits_since_the_previous_one_ended(scene):
    pulling = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    done = ended(word(Verdict.SUCCEED), at="10:00:00")
    seen = in_pod(claimed(scene), clone=done, runner=pulling).later(hours=1, minutes=14)

    assert isinstance(end_of(seen), ReportPod)
    assert end_of(seen.later(minutes=1)).record.reason == "ImagePullFailed"


def test_a_pod_that_waited_for_an_image_in_between_is_reported_as_running_again(scene):
    pulling = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    seen = in_pod(claimed(scene), runner=pulling).later(minutes=1)
    report = end_of(seen)
    assert (report.started, report.reason) == (False, "ImagePullBackOff")
    seen.status = progress.reported(seen.job, report, now=seen.now).to_dict()

    assert end_of(in_pod(seen, runner=RUNS)).started


def test_a_pod_whose_secret_is_missing_names_it(scene):
    seen = in_pod(claimed(scene), clone=WAITS, runner=WAITS).later(minutes=1)
    assert end_of(seen).message.endswith(" Secrets writer")

    end = end_of(seen.later(minutes=15))
    assert (end.record.reason, "writer" in end.record.message) == ("MissingReference", True)


@pytest.mark.parametrize("wish", ["cancel", "suspend"])
def test_a_publishing_pod_can_be_stopped(scene, wish):
    seen = in_pod(claimed(scene, **{wish: True}), publish=RUNS, phase="Running")

    assert isinstance(end_of(seen), StopPod)


def test_a_suspended_job_publishes_when_it_is_resumed(scene):
    stopped = said(Verdict.SNOOZE, "Interrupted")
    seen = in_pod(claimed(scene, suspend=True), publish=stopped, phase="Failed").knowing(stopped="pod-1")
    end = end_of(seen)

    assert isinstance(end.next_step, Suspend)
    assert not end.record.charged


def test_a_job_cancelled_after_publishing_has_succeeded(scene):
    end = end_of(in_pod(claimed(scene, cancel=True), publish=PUBLISHES, phase="Succeeded"))

    assert end.next_step.phase is Phase.SUCCEEDED


def test_a_job_cancelled_while_publishing_is_cancelled(scene):
    seen = in_pod(claimed(scene, cancel=True), publish=said(Verdict.SNOOZE, "Interrupted"), phase="Failed")

    assert end_of(seen).next_step.phase is Phase.CANCELLED


def test_a_rule_about_an_outcome_does_not_apply_to_an_unpublished_answer(scene):
    rule = {"name": "sure", "onOutcomes": ["sure"], "action": "Succeed"}
    seen = claimed(scene, resultPolicy={"rules": [rule]}, output={"schema": {"type": "object"}})
    end = end_of(in_pod(seen, runner=said(Verdict.SUCCEED, outcome="sure"), publish=ended(), phase="Failed"))

    assert (end.rule, end.record.reason) == ("", "PublishFailed")


def test_a_rule_about_an_outcome_applies_when_the_answer_is_published(scene):
    rule = {"name": "sure", "onOutcomes": ["sure"], "action": "Succeed"}
    seen = claimed(scene, resultPolicy={"rules": [rule]}, output={"schema": {"type": "object"}})
    end = end_of(in_pod(seen, runner=said(Verdict.SUCCEED, outcome="sure"), publish=PUBLISHES, phase="Succeeded"))

    assert (end.rule, end.next_step.published) == ("sure", PUBLISHED)


NOTHING = said(Verdict.SUCCEED, published=Published(branch="", commit=""))


def unsure(scene, **rule):
    rules = [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", **rule}]
    seen = claimed(scene, resultPolicy={"rules": rules}, output={"schema": {"type": "object"}})
    return in_pod(seen, runner=said(Verdict.SUCCEED, outcome="unsure"), publish=NOTHING, phase="Succeeded")


def test_an_outcome_that_requests_another_attempt_is_not_published(scene):
    end = end_of(unsure(scene))

    assert (end.rule, end.record.verdict, type(end.next_step)) == ("again", "Succeed", Again)


def test_an_unpublished_outcome_whose_rule_is_at_its_limit_is_not_a_success(scene):
    seen = unsure(scene, limit=1)
    seen.status["ruleCounts"] = {"again": 1}
    end = end_of(seen)

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "PublishRefused")


def test_an_outcome_without_a_rule_succeeds_even_if_nothing_changed(scene):
    seen = claimed(scene, output={"schema": {"type": "object"}})
    end = end_of(in_pod(seen, runner=said(Verdict.SUCCEED, outcome="x"), publish=NOTHING, phase="Succeeded"))

    assert end.next_step.phase is Phase.SUCCEEDED


def test_the_deadline_of_a_job_ends_it_even_while_it_publishes(scene):
    seen = claimed(scene, timeouts={"running": "30s"})
    end = end_of(in_pod(seen.later(seconds=30), publish=ended("", 137), phase="Failed", reason="DeadlineExceeded"))

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "DeadlineExceeded")


def test_a_start_that_timed_out_while_publishing_continues_after_its_steps(scene):
    seen = claimed(scene).knowing(progress=Progress(0, 7, "model", None, advanced=True))
    end = end_of(in_pod(seen, publish=ended("", 137), phase="Failed", reason="DeadlineExceeded"))

    assert (end.record.verdict, end.record.charged) == ("Snooze", False)


def test_the_last_attempt_that_cannot_publish_fails_the_job(scene):
    seen = scene(**SPEC, retry={"maxAttempts": 1}).claimed()
    end = end_of(in_pod(seen, publish=said(Verdict.RETRY, "PublishFailed"), phase="Failed"))

    assert isinstance(end.next_step, Finish)
    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "PublishFailed")


def test_a_pods_rules_see_the_exit_code_of_the_container_that_decided(scene):
    rule = {"name": "full", "onExitCodes": {"operator": "In", "values": [28]}, "action": "Fail"}
    seen = claimed(scene, resultPolicy={"rules": [rule]})

    assert end_of(in_pod(seen, clone=ended("", 28), runner=WAITS)).rule == "full"


def test_an_answer_is_read_only_if_agent_and_publisher_succeeded(scene):
    seen = in_pod(claimed(scene).knowing(result=None), publish=ended(), phase="Failed")

    assert isinstance(answer_of(seen), Decision)
