"""What sinks get: CloudEvents and Slack messages, signed as in Standard Webhooks, with any texts of models."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.history.outbox_records import Due
from agentjobs.notifier import messages
from agentjobs.notifier.sinks_file import Format

# The test vector that the libraries of Standard Webhooks share.
KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
VECTOR = {
    "of": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "at": datetime.fromtimestamp(1614265330, UTC),
    "body": b'{"test": 2432232314}',
}
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def cloud_event(due):
    return json.loads(messages.body(due, Format.CLOUD_EVENTS, source="/agentjobs/clusters/c0ffee"))


def slack(due):
    return json.loads(messages.body(due, Format.SLACK, source=""))["text"]


def test_the_signature_is_that_of_the_standards_test_vector():
    assert messages.signature([KEY], **VECTOR) == SIGNATURE


def test_a_message_has_a_signature_for_each_key_during_a_rotation():
    assert messages.signature([KEY, b"x" * 24], **VECTOR).split(" ")[0] == SIGNATURE
    assert len(messages.signature([KEY, b"x" * 24], **VECTOR).split(" ")) == 2


def test_a_cloud_event_has_what_the_standard_requires(a_notification):
    event = cloud_event(a_notification("Succeeded", outcome="fixed"))

    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "u-1-4",
        "source": "/agentjobs/clusters/c0ffee",
        "type": "dev.agentjobs.job.succeeded",
        "subject": "shop/triage-87",
        "time": "2026-01-31T12:00:00Z",
    }
    assert event["data"]["outcome"] == "fixed"


def test_each_try_has_the_same_content_and_id(a_notification):
    due = a_notification()

    assert messages.message_id(due) == "u-1-4"
    assert messages.body(due, Format.CLOUD_EVENTS, source="x") == messages.body(due, Format.CLOUD_EVENTS, source="x")


def test_the_text_for_slack_has_the_reason_of_a_failure(a_notification):
    text = slack(a_notification("Failed", reason="ToolError", message="the disk is full", summary="half of it"))

    assert "*Failed* shop/triage-87 (ToolError: the disk is full)" in text
    assert text.endswith("> half of it")


def test_a_models_text_cannot_contain_commands_of_slack(a_notification):
    text = slack(a_notification("Failed", message="<!channel> & <https://evil.example|ok>", summary="<@U1>\n<!here>"))

    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text
    assert [line[0] for line in text.splitlines()[1:]] == [">", ">"]


@pytest.mark.parametrize(
    "said", ["@channel", "@All", "hey @here!", "@everyone", "![x](https://evil.example/?q=secret)"]
)
def test_a_models_text_cannot_mention_users_or_embed_pictures(a_notification, said):
    text = slack(a_notification("Failed", message=said, summary=said))

    assert said not in text
    assert text.replace("\u200b", "").count(said) == 2


def test_an_address_is_not_changed(a_notification):
    assert slack(a_notification(summary="ann@allied.example, @ann [1]!")).endswith("> ann@allied.example, @ann [1]!")


def test_a_text_of_several_lines_cannot_imitate_another_message(a_notification):
    text = slack(a_notification("Failed", message="no)\n:white_check_mark: *Succeeded* shop/deploy\u2028x", summary=""))

    assert text.splitlines() == [text]
    assert text.startswith(":x: *Failed* shop/triage-87 (")


def test_links_in_a_models_text_are_not_unfurled_by_slack(a_notification):
    due = a_notification(summary="https://evil.example/?q=secret")
    told = json.loads(messages.body(due, Format.SLACK, source=""))

    assert (told["unfurl_links"], told["unfurl_media"]) == (False, False)


@pytest.mark.parametrize("form", list(Format), ids=lambda form: form.value)
@given(data=st.fixed_dictionaries({name: st.text(max_size=200) for name in ("summary", "message", "reason")}))
def test_any_message_is_one_line_of_json(form, data):
    due = Due("u", "chat", 1, "Failed", VECTOR["at"], data, 1, timedelta(0))

    body = messages.body(due, form, source="x")

    assert b"\n" not in body
    assert json.loads(body)
