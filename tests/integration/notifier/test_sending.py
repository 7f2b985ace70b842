"""The result of a request for every answer of a sink."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.notifier.conftest import OK, status

from agentjobs.history.outbox_records import Due
from agentjobs.notifier.sending import Sender, retry_after
from agentjobs.notifier.sinks import Sinks

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DATA = {"namespace": "shop", "name": "triage-87", "phase": "Failed", "message": "the disk is full"}
DUE = Due("u-1", "chat", 4, "Failed", NOON, DATA, 1, timedelta(0))


@pytest.fixture
async def send(sink, sinks_file):
    """Sends one notification to the sink and returns what came of it."""
    sender = None

    async def build(**more):
        nonlocal sender
        sinks = Sinks(sinks_file(chat={"url": sink.url, "timeout": "1s", **more}), {"TOKEN": "t0p"})
        sender = sender or Sender(sinks, cluster="c0ffee")
        return await sender.send(DUE, sinks.by_name["chat"], NOON)

    yield build
    if sender is not None:
        await sender.close()


async def test_a_message_is_signed_and_has_its_event_in_a_header(send, sink):
    answer = await send(headers=[{"name": "Authorization", "env": "TOKEN"}])

    (request,) = sink.requests
    assert answer.error == ""
    assert request.is_signed
    assert request.headers["webhook-id"] == request.event["id"] == "u-1-4"
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert request.headers["authorization"] == "t0p"
    assert request.event["data"] == DATA


async def test_a_chat_gets_a_text(send, sink):
    await send(format="Slack", signingKeyFile=None)

    (request,) = sink.requests
    assert set(request.event) == {"text", "unfurl_links", "unfurl_media"}
    assert "the disk is full" in request.event["text"]
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize(
    ("answer", "error", "is_down"),
    [
        pytest.param(status(204), "", False, id="no-content"),
        pytest.param("slow", "", False, id="bit-by-bit"),
        pytest.param("endless", "", False, id="ten-megabytes"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhm", "", False, id="body-that-does-not-come"),
        pytest.param(status(302, "Location: http://127.0.0.1:1/"), "redirects", False, id="redirect"),
        pytest.param(status(400), "400", False, id="bad-request"),
        pytest.param(status(404), "404", False, id="not-found"),
        pytest.param(status(500), "500", True, id="broken"),
        pytest.param("hang", "no answer within 1 s", True, id="hangs"),
        pytest.param("cut", "RemoteProtocolError", True, id="cuts"),
        pytest.param("half", "RemoteProtocolError", True, id="cuts-within-the-head"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "RemoteProtocolError", True, id="no-web-server"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 10**6, "", True, id="endless-head"),
    ],
)
async def test_only_the_status_of_an_answer_counts(send, sink, answer, error, is_down):
    sink.answers = [answer]
    loop = asyncio.get_running_loop()
    began = loop.time()

    found = await send()

    assert error in found.error
    assert bool(found.error) == (bool(error) or is_down)
    assert (found.is_down, found.final) == (is_down, False)
    assert loop.time() - began < 2.5
    assert len(sink.requests) == 1


async def test_a_notification_that_a_sink_rejects_permanently_is_not_retried(send, sink):
    sink.answers = [status(410)]

    assert (await send()).final


@pytest.mark.parametrize("code", [429, 503])
async def test_an_overloaded_sink_can_set_the_retry_delay(send, sink, code):
    sink.answers = [status(code, "Retry-After: 120")]

    answer = await send()

    assert (answer.is_down, answer.retry_after) == (True, timedelta(seconds=120))


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", 0),
        ("30", 30),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("9" * 400, 86400),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Sat, 99 Jan", None),
    ],
    ids=["now", "seconds", "date", "past", "for-ever", "negative", "word", "none", "no-date"],
)
def test_the_retry_delay_can_be_seconds_or_a_date(value, wait):
    assert retry_after(value, NOON) == (None if wait is None else timedelta(seconds=wait))


async def test_a_missing_sink_is_unreachable(send):
    answer = await send(url="http://127.0.0.1:1/T0P-S3CRET")

    assert (answer.error, answer.is_down) == ("cannot be reached", True)


async def test_a_connection_is_reused(send, sink):
    sink.answers = [OK, OK]
    await send()
    await send()

    assert (len(sink.requests), sink.connections) == (2, 1)


async def test_without_its_key_a_notification_is_not_sent(send, sink, tmp_path):
    answer = await send(signingKeyFile=str(tmp_path / "none"))

    assert "signingKeyFile" in answer.error
    assert sink.requests == []


@pytest.mark.parametrize("answer", [OK, "cut", "hang", status(302, "Location: /x")], ids=["ok", "cut", "hang", "moved"])
async def test_no_log_and_no_error_contains_the_address(send, sink, caplog, answer):
    caplog.set_level(logging.DEBUG, "agentjobs")
    logging.getLogger().setLevel(logging.INFO)
    sink.answers = [answer]

    found = await send(url=sink.url + "/T0P-S3CRET")

    assert "T0P" not in found.error + caplog.text
