"""Access tokens of Vertex AI are made by a token server, ahead of their end, and by one request at a time."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.compute_engine import _metadata
from tests.modelproviders import Failure

from agentjobs.errors import Misconfigured, Unavailable
from agentjobs.proxy.credentials import AHEAD, AccessTokens

pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_dict method:DeprecationWarning")

SECRET = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)


@pytest.fixture
async def clock():
    return Clock()


class Clock:
    def __init__(self):
        self.at = datetime.now(UTC)

    def __call__(self):
        return self.at

    def after(self, **time):
        self.at += timedelta(**time)


@pytest.fixture
async def tokens(clock):
    tokens = AccessTokens(now=clock)
    yield tokens
    await tokens.close()


def write(file, token_uri, **more):
    info = {"type": "service_account", "client_email": "a@b.test", "private_key": SECRET, "token_uri": token_uri}
    file.write_text(json.dumps(info | more))
    return file


async def until(check):
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_one_token_serves_many_calls(fake, tokens, tmp_path):
    file = write(tmp_path / "vertex.json", fake.token_uri)

    found = await asyncio.gather(*(tokens.token(file) for _ in range(20)))

    assert (set(found), fake.tokens_made) == ({"vertex-token-1"}, 1)


async def test_a_token_is_renewed_before_it_expires_without_delaying_calls(fake, tokens, clock, tmp_path):
    file = write(tmp_path / "vertex.json", fake.token_uri)
    await tokens.token(file)

    clock.after(seconds=3600 - AHEAD.total_seconds() + 1)
    meanwhile = await tokens.token(file)
    await until(lambda: fake.tokens_made == 2)
    await until(lambda: tokens._held[file].renewal is None)

    assert (meanwhile, await tokens.token(file)) == ("vertex-token-1", "vertex-token-2")


async def test_an_expired_token_is_not_used(fake, tokens, clock, tmp_path):
    file = write(tmp_path / "vertex.json", fake.token_uri)
    await tokens.token(file)

    clock.after(hours=2)

    assert await tokens.token(file) == "vertex-token-2"


async def test_changed_credentials_are_used_immediately(fake, tokens, tmp_path):
    file = write(tmp_path / "vertex.json", fake.token_uri)
    await tokens.token(file)

    write(file, fake.token_uri, client_email="another@b.test")

    assert await tokens.token(file) == "vertex-token-2"


async def test_cancelling_a_waiter_does_not_affect_other_waiters(fake, tokens, tmp_path):
    file = write(tmp_path / "vertex.json", fake.token_uri)
    first = asyncio.create_task(tokens.token(file))
    await asyncio.sleep(0)
    second = asyncio.create_task(tokens.token(file))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == "vertex-token-1"


async def test_the_metadata_server_provides_the_machines_credentials(fake, tokens, monkeypatch, tmp_path):
    host = fake.origin.removeprefix("http://")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)  # read from the environment when it is imported
    monkeypatch.setenv("GCE_METADATA_IP", host)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    assert await tokens.token() == "vertex-token-1"


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "5", "{}", '{"type":"service_account"}', '{"type":"x"}', "[" * 100_000, '{"type":5}'],
)
async def test_invalid_credentials_are_named_by_their_file(tokens, tmp_path, content):
    file = tmp_path / "vertex.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(Misconfigured, match=r"vertex\.json"):
        await tokens.token(file)


async def test_an_invalid_key_is_never_shown(tokens, tmp_path, caplog):
    file = write(tmp_path / "vertex.json", "http://127.0.0.1:1/", private_key=SECRET[:300] + "hidden")

    with pytest.raises(Misconfigured) as told:
        await tokens.token(file)

    assert SECRET[100:140] not in f"{told.value!r} {caplog.text}"
    assert "hidden" not in f"{told.value!r} {caplog.text}"


async def test_an_unavailable_token_server_is_not_called_for_every_call(clock, tokens, tmp_path):
    file = write(tmp_path / "vertex.json", "http://127.0.0.1:1/token")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await tokens.token(file)
    tried = tokens._held[file].tried

    clock.after(seconds=6)
    with pytest.raises(Unavailable):
        await tokens.token(file)

    assert tokens._held[file].tried > tried == clock.at - timedelta(seconds=6)


async def test_refused_credentials_are_an_error_that_names_the_providers_reason(fake, tokens, tmp_path):
    fake.script(Failure(401, "the key hidden was revoked"))
    file = write(tmp_path / "vertex.json", f"{fake.openai}/token")

    with pytest.raises(Misconfigured, match=r"vertex\.json.*renew") as told:
        await tokens.token(file)
    assert "hidden" not in str(told.value)
