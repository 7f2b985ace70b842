"""Signatures of senders, by the examples of their own documentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.gateway.triggers.file import Signature
from agentjobs.gateway.triggers.signatures import TOLERANCE_SECONDS, is_signed, secret_of

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
RECORDED = {
    Signature.GITHUB: (
        b"It's a Secret to Everybody\n",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
    ),
    Signature.SLACK: (
        b"8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    Signature.STANDARD_WEBHOOKS: (
        b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
}


def signed(kind, *, headers=None, body=None, now=None, secret=None):
    key, said, content, then = RECORDED[kind]
    secrets = [secret_of(kind, key if secret is None else secret)]
    return is_signed(
        kind, said | (headers or {}), content if body is None else body, secrets, now=then if now is None else now
    )


@pytest.mark.parametrize("kind", Signature)
def test_the_signature_of_the_senders_documented_example_is_valid(kind):
    assert signed(kind)


@pytest.mark.parametrize("kind", Signature)
@given(st.data())
def test_a_signature_is_invalid_if_anything_signed_is_changed(kind, data):
    _, headers, body, now = RECORDED[kind]
    content, said = bytearray(body), dict(headers)
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        name = data.draw(st.sampled_from(sorted(said)))
        said[name] = data.draw(st.text(max_size=80).filter(lambda text: said[name] not in text.split(" ")))

    assert not is_signed(kind, said, bytes(content), [secret_of(kind, RECORDED[kind][0])], now=now)


@pytest.mark.parametrize("kind", Signature)
def test_a_signature_with_another_secret_is_invalid(kind):
    assert not signed(kind, secret=b"a secret that nobody has")


@pytest.mark.parametrize("kind", [Signature.SLACK, Signature.STANDARD_WEBHOOKS])
@pytest.mark.parametrize(("late", "counts"), [(TOLERANCE_SECONDS, True), (TOLERANCE_SECONDS + 1, False), (-301, False)])
def test_a_signed_time_is_valid_for_five_minutes(kind, late, counts):
    assert signed(kind, now=RECORDED[kind][3] + late) is counts


@pytest.mark.parametrize("text", [b"", b"  \n", b"short", b"whsec_!!!", b"whsec_c2hvcnQ=", b"x" * 5000])
def test_an_invalid_secret_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match=r"whsec_|bytes") as refused:
        secret_of(Signature.STANDARD_WEBHOOKS, text)
    assert text.strip().decode() not in str(refused.value) or not text.strip()
