import copy
from typing import Any

import pytest

from agentjobs.api.job.resolve import Sources, resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.template.model import parse_template
from agentjobs.engine.cache import Cache
from agentjobs.reconcile.job.specs import Accepted, Specs, to_accept

METADATA = {"namespace": "default", "name": "hello", "uid": "uid-1", "annotations": {}}
SPEC: dict[str, Any] = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hi."}}


def specs() -> Specs:
    return Specs(Cache(parse_template), lambda _queue: {})


@pytest.fixture
def sent() -> Accepted:
    spec = AgentJobSpec.model_validate(SPEC)
    return to_accept(spec, resolve_spec(spec, METADATA, Sources()))


def test_work_that_history_stored_unchanged_is_not_read_again(sent: Accepted) -> None:
    assert specs().accept("uid-1", copy.deepcopy(sent.resolved), sent) is sent


def test_work_that_history_had_stored_before_is_used(sent: Accepted) -> None:
    before = copy.deepcopy(sent.resolved)
    before["spec"]["retry"]["maxAttempts"] = 7

    accepted = specs().accept("uid-1", before, sent)

    assert accepted.spec is not None
    assert accepted.spec.retry.max_attempts == 7
    assert accepted.hash != sent.hash
