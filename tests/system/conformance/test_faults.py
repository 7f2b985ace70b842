"""Each check finds the fault that it is there for, and finds nothing in a program without one."""

import pytest

from agentjobs.cli.conformance.situations import SITUATIONS

SCHEMA = {
    "output": {
        "schema": {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]},
        "outcomeKey": "mood",
    }
}
# Of these a program without a fault takes as long as they last.
SLOW = {"fenced-at-work", "heartbeat", "unavailable-forever"}

FAULTS = [
    ("success", "hangs", "did not end within"),
    ("success", "floods", "did not end within"),
    ("success", "reports-first", "its first request was POST"),
    ("success", "no-token", "with no token"),
    ("success", "key-of-its-own", "called a model with a token other than"),
    ("success", "wrong-event", "POST /v1/attempt/events was rejected with 422"),
    ("success", "wrong-result", "PUT /v1/attempt/result was rejected with 422"),
    ("success", "replaces-the-file", "it replaced AGENTJOBS_TERMINATION_FILE"),
    ("success", "no-json", "is invalid"),
    ("success", "a-folder", "it replaced AGENTJOBS_TERMINATION_FILE"),
    ("success", "no-message", "without a termination message"),
    ("success", "uid-of-its-own", "has uid 'another'"),
    ("success", "start-of-its-own", "has start 1"),
    ("success", "exits-with-1", "exited with 1 and left the verdict Succeed"),
    ("success", "never-reports", "no result is stored"),
    ("success", "fails-after-all", "its result was stored, but it left the verdict Retry"),
    ("success", "another-summary", "is not the beginning of the final result"),
    ("success", "prints-its-token", "printed the pod's token"),
    ("success", "token-in-an-event", "in a path or a body"),
    ("long-texts", "endless-summary", "but a kubelet may keep 1536"),
    ("already-answered", "works-again", "called a model, although the attempt has a `result`"),
    ("fenced-at-the-claim", "talks-when-fenced", "left a termination message after 409"),
    ("fenced-at-the-claim", "other-code-when-fenced", "exited with 1 after 409"),
    ("fenced-later", "never-reports", "no request that could be answered with 409"),
    ("fenced-later", "ignores-fences", "left a termination message after 409"),
    ("unavailable-at-start", "tries-once", "it should succeed"),
    ("unavailable-after-claim", "tries-once", "it should succeed"),
    ("unavailable-at-result", "tries-once", "it should succeed"),
    ("unavailable-at-result", "trusts-any-answer", "no result is stored"),
    ("unavailable-at-result", "changes-its-report", "changed its report"),
    ("unavailable-forever", "gives-up-early", "gave up"),
    ("too-many-requests", "hasty", "after 429 with Retry-After: 2"),
    ("result-refused", "success-when-refused", "although the gateway rejected its result"),
    ("another-is-final", "ignores-the-final-result", "outcome None: it must be the final result's"),
    ("another-is-final", "no-outcome", "outcome None: it must be the final result's"),
    ("sigterm", "ignores-sigterm", "did not stop within"),
    ("sigterm", "success-when-stopped", "although it was stopped before its work was done"),
    ("sigterm", "silent-when-stopped", "left no termination message when it was stopped"),
    ("sigterm", "a-failure-when-stopped", "left Fail AgentError when it was stopped"),
    ("sigterm-early", "success-when-stopped", "although no result could be stored"),
    ("sigterm-late", "success-when-stopped", "although no result could be stored"),
    ("token-renewed", "old-token", "with an outdated token"),
    ("tls", "no-authority", "did not end within"),
    ("tls-untrusted", "trusts-every-certificate", "whose certificate is not signed by"),
    ("budget", "success-without-model", "although the model call was rejected"),
    ("budget", "retries-402", "left Retry BudgetExceeded after 402"),
    ("structured", "no-structure", "has no `structured`"),
    ("structured", "misfit", "does not match output.schema"),
    ("structured", "no-outcome-of-its-own", "the outcome of its result is None"),
]


@pytest.mark.parametrize("name", [one.name for one in SITUATIONS if one.name not in SLOW])
def test_a_program_without_a_fault_passes(judged, name):
    judgement = judged(name, spec=SCHEMA if name == "structured" else None)

    assert (judgement.faults, judgement.skipped) == ((), "")


@pytest.mark.parametrize(("name", "fault", "told"), FAULTS)
def test_each_fault_is_found(judged, name, fault, told):
    limit = 3.0 if fault in ("hangs", "floods", "no-authority") else 20.0

    found = judged(name, fault, spec=SCHEMA if name == "structured" else None, limit=limit).faults

    assert any(told in one for one in found), found


def test_a_situation_ends_if_the_token_is_refused_repeatedly(judged):
    found = judged("token-renewed", "old-token", works=0).faults

    assert any("repeatedly rejected for its token" in one for one in found), found


@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        pytest.param("heartbeat", "no-heartbeat", "it sent nothing for", id="silence"),
        pytest.param("fenced-at-work", "no-heartbeat", "did not notice 409 Fenced", id="a-fence-unheard"),
    ],
)
def test_missing_heartbeats_are_found(judged, name, fault, told):
    found = judged(name, fault, works=34, limit=40.0).faults

    assert any(told in one for one in found), found


@pytest.mark.parametrize("name", ["heartbeat", "fenced-at-work"])
def test_a_program_that_sends_heartbeats_passes(judged, name):
    assert judged(name).word == "Passed"


@pytest.mark.parametrize("name", ["heartbeat", "fenced-at-work", "sigterm", "budget"])
def test_a_situation_that_ends_too_early_is_skipped(judged, name):
    judgement = judged(name, works=0) if name == "budget" else judged(name, "hides")

    assert (judgement.word, judgement.faults) == ("Skipped", ())
