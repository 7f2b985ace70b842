"""The API server for the command line: what its answers mean to a user."""

import pytest

from agentjobs import errors
from agentjobs.cli.cluster import AGENTJOBS, ClusterConnection
from agentjobs.cli.failures import Failure


class Refusing:
    """A transport to a server that rejects each request."""

    def perform(self, _send):
        raise errors.Invalid("unable to parse requirement: found '='")


def test_a_selector_that_the_server_rejects_is_named():
    with pytest.raises(Failure, match=r"^--selector: unable to parse requirement") as refused:
        ClusterConnection(None, Refusing()).request("GET", AGENTJOBS.everywhere, params={"labelSelector": "a=b=c"})

    assert refused.value.code == 2


def test_a_rejected_request_without_a_selector_is_not_blamed_on_one():
    with pytest.raises(errors.Invalid):
        ClusterConnection(None, Refusing()).request("GET", AGENTJOBS.everywhere)


def test_a_watch_that_breaks_within_an_event_ends():
    class Breaking:
        def iterate(self, _stream):
            yield '{"type": "ADDED", "object": {}}'
            yield '{"type": "MODI'

    events = list(ClusterConnection(None, Breaking()).watch("/jobs", params={}))

    assert [event["type"] for event in events] == ["ADDED"]
