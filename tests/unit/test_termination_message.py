"""The termination message of a container is complete, for any content and number of containers."""

import pytest

from agentjobs.contract import MAX_TERMINATION_BYTES, Published, TerminationMessage, Verdict
from agentjobs.core.pods.diagnose import diagnose
from agentjobs.core.pods.pod import parse_pod

POD_BYTES = 12 * 1024
"""What a kubelet keeps of the messages of all containers of a pod, an equal share of each."""


def kept(text, containers):
    return text.encode()[: min(4096, POD_BYTES // containers)].decode(errors="replace")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 5000, id="long"),
        pytest.param('"\\\n' * 2000, id="escaped"),
        pytest.param("\0" * 5000, id="control-characters"),
        pytest.param("😀" * 3000, id="of-four-bytes"),
    ],
)
def test_a_message_is_complete_in_a_pod_with_eight_containers(text):
    said = TerminationMessage(
        Verdict.FAIL, "ConfigInvalid", text, start=2, uid="u" * 36, summary=text, outcome="x" * 63
    )

    read = TerminationMessage.load(kept(said.dump(), containers=8))

    assert read is not None
    assert (read.verdict, read.reason, read.outcome) == (said.verdict, said.reason, said.outcome)
    assert read.message


def test_only_message_and_summary_are_truncated():
    published = Published(branch="b" * 253, commit="a" * 64, pullRequest="https://" + '"' * 500)
    said = TerminationMessage(Verdict.SUCCEED, "r" * 63, "m" * 900, start=2, uid="u", summary="s", published=published)

    read = TerminationMessage.load(said.dump())

    assert read is not None
    assert (read.published, read.message) == (published, "")


def test_a_document_that_is_too_long_without_them_is_written_unchanged():
    assert len(TerminationMessage(Verdict.FAIL, "r" * 9000, "m", start=1, uid="").dump()) > MAX_TERMINATION_BYTES


def test_a_failure_in_a_pod_with_eight_containers_is_not_considered_a_crash():
    text = TerminationMessage(Verdict.FAIL, "ConfigInvalid", "why " * 500, start=1, uid="u").dump()
    ended = {"exitCode": 78, "message": kept(text, 8), "startedAt": "2026-11-29T16:00:00Z"}
    owner = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "name": "a", "uid": "u", "controller": True}
    status = {"phase": "Failed", "containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]}

    ending = diagnose(parse_pod({"metadata": {"name": "a-1", "ownerReferences": [owner]}, "status": status}))

    assert (ending.verdict, ending.reason) == (Verdict.FAIL, "ConfigInvalid")
