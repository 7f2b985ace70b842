"""Cookies of sessions: encrypted sessions are read completely, and all other cookies are ignored."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import Request, Response

from agentjobs.dashboard import sessions as module
from agentjobs.dashboard.sealing import Seal
from agentjobs.dashboard.sessions import BrowserSession, Sessions
from agentjobs.errors import Misconfigured
from agentjobs.problem import Problem

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = ("first-" + "a" * 32, "other-" + "b" * 32)


def sessions(*keys, folder=None, secure=False):
    file = None
    if keys:
        file = folder / "keys"
        file.write_text("\n".join(keys))
    return Sessions(Seal(file), length=8 * HOUR, secure=secure)


def asking(cookies=(), host="pages:8445"):
    told = "; ".join(f"{name}={value}" for name, value in dict(cookies).items())
    headers = [(b"host", host.encode()), (b"cookie", told.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""})


def begun(made, session, **more):
    """The cookies that a browser has after a session began."""
    response = Response()
    made.begin(asking(**more), response, session, now=NOW)
    lines = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    return dict(line.partition(";")[0].split("=", 1) for line in lines), lines


def ada(token="t" * 900):
    return BrowserSession(name="ada", way="token", until=NOW + HOUR, token=token)


def test_a_session_is_read_as_it_was_stored():
    made, session = sessions(), ada()

    cookies, _ = begun(made, session)

    assert made.of(asking(cookies), NOW) == session


def test_a_long_token_is_stored_in_several_cookies_and_read_completely():
    made, session = sessions(), ada(os.urandom(3500).hex())

    cookies, _ = begun(made, session)

    assert len(cookies) == 3
    assert made.of(asking(cookies), NOW) == session


def test_a_token_too_long_for_cookies_is_refused_with_a_solution():
    with pytest.raises(Problem, match="shorter token") as refused:
        begun(sessions(), ada("t" * 12_000))

    assert (refused.value.status, refused.value.reason) == (413, "SessionTooLarge")


def test_a_session_that_fits_only_without_the_id_token_hint_has_none():
    made, session = sessions(), BrowserSession("ada", "oidc", NOW + HOUR, groups=("g" * 7000,), hint="h" * 3000)

    cookies, _ = begun(made, session)
    found = made.of(asking(cookies), NOW)

    assert (found.groups, found.hint) == (session.groups, None)


def test_the_cookie_is_http_only_and_same_site():
    _, (line,) = begun(sessions(), ada())

    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=3600"} <= set(line.split("; "))


def test_over_tls_the_cookie_is_secure_and_limited_to_this_host():
    _, (line,) = begun(sessions(secure=True), ada())

    assert line.startswith("__Host-agentjobs-session-0=")
    assert "Secure" in line.split("; ")
    assert "Domain" not in line


def test_dashboards_on_two_ports_of_a_host_have_separate_sessions():
    made = sessions()

    cookies, _ = begun(made, ada(), host="localhost:1111")

    assert made.of(asking(cookies, host="localhost:2222"), NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda parts: {}, id="none"),
        pytest.param(lambda parts: {name: value[:-8] for name, value in parts.items()}, id="truncated"),
        pytest.param(lambda parts: dict(list(parts.items())[:1]), id="a-part-is-missing"),
        pytest.param(lambda parts: dict(zip(parts, reversed(parts.values()), strict=True)), id="parts-swapped"),
        pytest.param(lambda parts: {name: "A" + value[1:] for name, value in parts.items()}, id="forged"),
        pytest.param(lambda parts: dict.fromkeys(parts, "é%00;"), id="no-base64"),
        pytest.param(lambda parts: dict.fromkeys(parts, ""), id="empty"),
    ],
)
def test_an_incomplete_or_changed_session_is_not_accepted(change):
    made = sessions()
    cookies, _ = begun(made, ada(os.urandom(3000).hex()))

    assert made.of(asking(change(cookies)), NOW) is None


def test_parts_of_two_sessions_are_not_accepted():
    made = sessions()
    (one, _), (other, _) = begun(made, ada(os.urandom(3000).hex())), begun(made, ada(os.urandom(3000).hex()))
    first = next(iter(one))

    assert made.of(asking(other | {first: one[first]}), NOW) is None


def test_data_encrypted_for_another_purpose_are_not_a_session():
    made = sessions()
    sealed = made.seal.seal("state", module.msgspec.json.encode(ada()))

    assert made.seal.open("session", sealed) is None
    assert made.seal.open("state", sealed) is not None


def test_a_session_ends_at_its_expiry():
    made = sessions()
    cookies, _ = begun(made, ada())

    assert made.of(asking(cookies), NOW + HOUR) is None


def test_the_first_key_encrypts_and_older_ones_still_decrypt(tmp_path):
    old, _ = begun(sessions(KEYS[0], folder=tmp_path), ada())
    made = sessions(KEYS[1], KEYS[0], folder=tmp_path)
    new, _ = begun(made, ada())

    assert made.of(asking(old), NOW) is not None
    assert sessions(KEYS[1], folder=tmp_path).of(asking(new), NOW) is not None


def test_removing_a_key_ends_its_sessions_while_the_process_runs(tmp_path):
    made = sessions(KEYS[0], folder=tmp_path)
    cookies, _ = begun(made, ada())
    (tmp_path / "keys").write_text(KEYS[1])
    os.utime(tmp_path / "keys", ns=(1, 1))

    assert made.of(asking(cookies), NOW) is None


def test_a_partly_written_key_file_ends_no_session(tmp_path, caplog):
    made = sessions(KEYS[0], folder=tmp_path)
    cookies, _ = begun(made, ada())
    (tmp_path / "keys").write_text("short")
    os.utime(tmp_path / "keys", ns=(1, 1))

    assert made.of(asking(cookies), NOW) is not None
    assert "sessions.keys_unusable" in caplog.messages


@pytest.mark.parametrize("text", ["", "short", "\n".join(["k" * 40] * 11)])
def test_weak_keys_are_refused_at_the_start(tmp_path, text):
    (tmp_path / "keys").write_text(text)

    with pytest.raises(Misconfigured, match="openssl rand"):
        Seal(tmp_path / "keys")


def test_a_sign_out_deletes_all_cookies_of_the_session():
    made = sessions()
    cookies, _ = begun(made, ada(os.urandom(3000).hex()))
    response = Response()

    made.end(asking(cookies), response)

    ended = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    assert len(ended) == len(cookies) == 3
    assert all("Max-Age=0" in line for line in ended)


def test_the_representation_of_a_session_does_not_contain_its_token():
    assert "ttt" not in repr(ada())
