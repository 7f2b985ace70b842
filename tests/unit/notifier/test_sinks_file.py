"""The content of a sinks file, and errors in it by line and field and without its secrets."""

from datetime import timedelta

import pytest

from agentjobs.errors import Misconfigured
from agentjobs.notifier import sinks, sinks_file
from agentjobs.notifier.sinks import Sinks
from agentjobs.notifier.sinks_file import Format

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = "T0P-S3CRET"
WHOLE = """
sinks:
  - name: chat
    format: Slack
    urlFile: /etc/sinks/chat
  - name: audit
    url: https://audit.example.com/hooks
    signingKeyFile: /etc/sinks/audit
    headers: [{name: Authorization, file: /etc/sinks/token}]
    timeout: 30s
    concurrency: 2
    source: https://agents.example.com
"""


def refused(text):
    with pytest.raises(Misconfigured) as caught:
        sinks_file.parse(text, "sinks.yaml")
    return str(caught.value)


def a_sink(**more):
    fields = {"name": "chat", "format": "Slack", "url": "https://chat.example.com/x"} | more
    return "sinks:\n  -\n" + "".join(f"    {name}: {value}\n" for name, value in fields.items() if value is not None)


def test_a_file_defines_sinks_with_addresses_and_formats():
    chat, audit = sinks_file.parse(WHOLE, "sinks.yaml").sinks

    assert (chat.name, chat.format, chat.timeout) == ("chat", Format.SLACK, timedelta(seconds=10))
    assert (audit.format, audit.timeout, audit.concurrency) == (Format.CLOUD_EVENTS, timedelta(seconds=30), 2)


def test_an_empty_file_has_no_sinks():
    assert sinks_file.parse("# none yet\n", "sinks.yaml").sinks == ()


@pytest.mark.parametrize(
    ("more", "place"),
    [
        pytest.param({"name": "Chat"}, "3: sinks[0].name: ", id="name"),
        pytest.param({"format": "Slak"}, "4: sinks[0].format: ", id="format"),
        pytest.param({"url": None}, "sinks[0]: ", id="no-address"),
        pytest.param({"urlEnv": "CHAT_URL"}, "sinks[0]: ", id="two-addresses"),
        pytest.param({"url": "http://chat.example.com"}, "5: sinks[0].url: ", id="without-tls"),
        pytest.param({"url": "ftp://chat.example.com"}, "5: sinks[0].url: ", id="no-web-address"),
        pytest.param({"url": "https://me:pw@chat.example.com"}, "5: sinks[0].url: ", id="password-in-the-address"),
        pytest.param({"urlFile": "chat", "url": None}, "5: sinks[0].urlFile: ", id="path-that-is-not-full"),
        pytest.param({"format": "CloudEvents"}, "sinks[0]: ", id="unsigned"),
        pytest.param(
            {"signingKeyFile": "/k", "signingKeyEnv": "KEY"}, "7: sinks[0].signingKeyEnv: ", id="two-places-of-keys"
        ),
        pytest.param({"timeout": "2m"}, "6: sinks[0].timeout: ", id="longer-than-a-minute"),
        pytest.param({"timeout": "0s"}, "6: sinks[0].timeout: ", id="no-time"),
        pytest.param({"concurrency": "0"}, "6: sinks[0].concurrency: ", id="none-at-once"),
        pytest.param({"source": "https://x"}, "6: sinks[0].source: ", id="source-of-slack"),
        pytest.param({"signingKey": KEY}, "6: sinks[0].signingKey: ", id="unknown-field"),
        pytest.param({"headers": "[{name: Host, value: x}]"}, "6: sinks[0].headers[0].name: ", id="header-of-ours"),
        pytest.param({"headers": "[{name: X-Key}]"}, "6: sinks[0].headers[0]: ", id="header-without-a-value"),
        pytest.param({"headers": '[{name: X, value: "a\\nb"}]'}, "headers[0].value: ", id="two-headers-in-one"),
    ],
)
def test_problems_are_named_by_line_and_field(more, place):
    message = refused(a_sink(**more))

    assert place in message
    assert message.startswith("sinks.yaml:")


def test_a_repeated_name_is_refused():
    assert "sinks[1].name" in refused(WHOLE.replace("name: audit", "name: chat"))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"url": f"http://chat.example.com/{SECRET}"}, id="address"),
        pytest.param({"url": f'"https://chat.example.com/ {SECRET}"'}, id="broken-address"),
        pytest.param({"urlFile": SECRET}, id="in-place-of-a-path"),
        pytest.param({"urlEnv": f'"{SECRET} "'}, id="in-place-of-a-variable"),
        pytest.param({"signingKeyFile": SECRET}, id="in-place-of-a-keys-path"),
        pytest.param({"headers": f'[{{name: X, value: "{SECRET}\\n"}}]'}, id="header"),
        pytest.param({"headers": SECRET}, id="in-place-of-a-list"),
    ],
)
def test_no_message_contains_a_secret(more):
    assert SECRET not in refused(a_sink(**more))


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "hooks.shop.svc", "hooks.shop.svc.cluster.local"])
def test_addresses_in_the_cluster_and_on_this_machine_need_no_tls(host):
    assert sinks_file.address(f"http://{host}/x") == f"http://{host}/x"


@pytest.fixture
def opened(tmp_path):
    """Opens a sinks file."""

    def build(text, environ=None):
        (tmp_path / "sinks.yaml").write_text(text)
        return Sinks(tmp_path / "sinks.yaml", environ or {})

    return build


def test_a_changed_file_is_loaded_and_an_invalid_one_is_ignored(opened, tmp_path, caplog):
    found = opened(a_sink())
    (tmp_path / "sinks.yaml").write_text(a_sink(name="other"))
    found.poll()
    changed = set(found.by_name)
    (tmp_path / "sinks.yaml").write_text("sinks: 7")
    found.poll()

    assert changed == set(found.by_name) == {"other"}
    assert caplog.records[-1].getMessage() == "sinks.unusable"


def test_a_missing_file_is_reported_at_the_start(tmp_path):
    with pytest.raises(Misconfigured):
        Sinks(tmp_path / "none.yaml", {})


def test_secrets_are_read_when_they_are_needed(opened, tmp_path):
    (tmp_path / "url").write_text("https://a.example.com/1\n")
    found = opened(a_sink(url=None, urlFile=tmp_path / "url"))
    first = found.url(found.by_name["chat"])
    (tmp_path / "url").write_text("https://a.example.com/2")

    assert (first, found.url(found.by_name["chat"])) == ("https://a.example.com/1", "https://a.example.com/2")


def test_an_address_can_come_from_the_environment(opened):
    found = opened(a_sink(url=None, urlEnv="CHAT_URL"), {"CHAT_URL": "https://a.example.com"})

    assert found.url(found.by_name["chat"]) == "https://a.example.com"


def test_a_key_file_can_contain_the_old_and_the_new_key(opened, tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\nwhsec_{'A' * 44}\n")
    found = opened(a_sink(signingKeyFile=tmp_path / "key"))

    assert [len(key) for key in found.keys(found.by_name["chat"])] == [24, 33]


@pytest.mark.parametrize(
    "text", [SECRET, "whsec_c2hvcnQ=", "", "whsec_" + "!" * 40], ids=["no-key", "short", "empty", "odd"]
)
def test_an_invalid_key_is_reported_without_its_value(opened, tmp_path, text):
    (tmp_path / "key").write_text(text)
    found = opened(a_sink(signingKeyFile=tmp_path / "key"))

    with pytest.raises(Misconfigured) as caught:
        found.keys(found.by_name["chat"])
    assert "sign" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", [f"{SECRET}\nX-Other: 1", "", "Grüße"], ids=["two-lines", "empty", "not-ascii"])
def test_an_invalid_header_is_reported_without_its_value(opened, value):
    found = opened(a_sink(headers="[{name: Authorization, env: TOKEN}]"), {"TOKEN": value})

    with pytest.raises(Misconfigured) as caught:
        found.headers(found.by_name["chat"])
    assert "Authorization" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_size_of_a_secret_is_limited(opened, tmp_path):
    (tmp_path / "url").write_text("https://a.example.com/" + "x" * 10**6)
    found = opened(a_sink(url=None, urlFile=tmp_path / "url"))

    assert len(found.url(found.by_name["chat"])) <= sinks.MAX_SECRET_BYTES
