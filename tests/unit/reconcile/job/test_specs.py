import copy
from typing import Any

import pytest

from agentjobs.api.job.resolve import resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.reconcile.job.specs import Accepted, Specs, to_accept

METADATA = {"namespace": "default", "name": "hello", "uid": "uid-1", "annotations": {}}
SPEC: dict[str, Any] = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hi."}}


@pytest.fixture
def sent() -> Accepted:
    spec = AgentJobSpec.model_validate(SPEC)
    return to_accept(spec, resolve_spec(spec, METADATA, {}))


def test_what_history_stored_as_it_was_sent_is_not_read_again(sent: Accepted) -> None:
    assert Specs().accept("uid-1", copy.deepcopy(sent.resolved), sent) is sent


def test_what_history_had_stored_before_counts(sent: Accepted) -> None:
    before = copy.deepcopy(sent.resolved)
    before["spec"]["retry"]["maxAttempts"] = 7

    accepted = Specs().accept("uid-1", before, sent)

    assert accepted.spec is not None
    assert accepted.spec.retry.max_attempts == 7
    assert accepted.hash != sent.hash
