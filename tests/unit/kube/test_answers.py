"""Refusals become errors by what they mean, not only by their number."""

import json
from typing import Any

import pytest

from agentjobs.errors import Conflict, Denied, Gone, Invalid, TooManyRequests, Unavailable
from agentjobs.kube.answers import error_of, error_of_status, message_of


def status(**fields: Any) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", **fields}).encode()


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("5", None, 5.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        ("5", {"retryAfterSeconds": 3}, 5.0),
        (None, None, 1.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None, 1.0),
        ("-4", None, 1.0),
        ("0", None, 1.0),
    ],
)
def test_retry_after_is_read_from_header_or_status(header, details, seconds):
    error = error_of(429, status(details=details), request="GET pods", retry_after=header)

    assert isinstance(error, TooManyRequests)
    assert error.retry_after == seconds


def test_an_expired_continue_token_is_gone_with_any_code():
    assert type(error_of(400, status(reason="Expired", message="old"), request="GET pods")) is Gone


def test_an_error_in_a_watch_is_read_by_its_own_code():
    error = error_of_status(
        {"kind": "Status", "code": 410, "message": "too old resource version"}, request="watch pods"
    )

    assert type(error) is Gone
    assert str(error) == "watch pods: HTTP 410: too old resource version"


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"kind":"Pod"}'])
def test_an_error_without_a_status_object_is_classified_by_its_code(raw):
    assert type(error_of(409, raw, request="r")) is Conflict
    assert type(error_of(502, raw, request="r")) is Unavailable
    assert type(error_of(418, raw, request="r")) is Invalid


def test_a_status_with_unexpected_types_is_handled():
    error = error_of(429, status(reason=7, message=None, details=["x"], code="?"), request="r")

    assert isinstance(error, TooManyRequests)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (422, "pods \"a-1\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no team"),
        (422, 'admission webhook "x.example.com" denied the request: no team'),
        (400, 'admission webhook "x.example.com" does not support dry run'),
    ],
)
def test_a_denial_by_a_policy_is_recognized_with_any_code(code, message):
    assert type(error_of(code, status(message=message), request="POST pods")) is Denied


def test_policy_wording_inside_a_value_is_not_a_denial():
    message = 'Pod "a-1" is invalid: metadata.labels: Invalid value: "pods "x" is forbidden: no"'

    assert type(error_of(422, status(message=message), request="POST pods")) is Invalid


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(
            status(message='agentjobs "a" is forbidden: HTTP 1: no'),
            'agentjobs "a" is forbidden: HTTP 1: no',
            id="status",
        ),
        pytest.param(b"<h1>Bad: gateway</h1>", "<h1>Bad: gateway</h1>", id="proxy"),
    ],
)
def test_the_message_of_an_error_is_the_servers_without_the_request(raw, words):
    assert message_of(error_of(403, raw, request="PATCH agentjobs default/a")) == words


def test_other_messages_are_not_changed():
    assert (
        message_of(Conflict("AgentJob 'a' changes all the time; try again."))
        == "AgentJob 'a' changes all the time; try again."
    )
