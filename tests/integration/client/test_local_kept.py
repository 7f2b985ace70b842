"""Kept files of `run --local`, as its runner keeps them: in the file of the journal, by the gateway's rules."""

import contextlib
import random
from datetime import UTC, datetime

import httpx
import pytest

from agentjobs.cli.local_gateway import serving
from agentjobs.cli.local_journal import Journal
from agentjobs.contract import MAX_KEPT_PART_BYTES, PATH_KEPT_CONTENT
from agentjobs.errors import Invalid, TooLarge
from agentjobs.history.kept import MERGED_BYTES
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.redaction import Redactor

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
WORK = {"spec": {"agent": {"model": "m"}, "input": {"message": "Go."}}, "scripts": {}}
NAME = "claude-code/session.jsonl"


@contextlib.contextmanager
def keeping(journal):
    """What a runner of the start keeps files by."""
    with (
        contextlib.closing(journal),
        serving({}, journal, "token") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        gateway = Gateway(client, lambda: "token")
        yield GatewayStores(gateway, Redactor({}), pytest.fail, lambda: None).kept, client


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.sqlite"


@pytest.fixture
def kept(path):
    with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, _):
        yield kept


def test_a_later_start_continues_with_the_kept_files_of_the_earlier_start(path):
    with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, _):
        kept.write(NAME, b"one\n")
        kept.write("workspace/base.json", b"{}")

    with keeping(Journal.resume(path, WORK, NOW)) as (kept, _):
        kept.write(NAME, b"two\n", offset=4)

        assert kept.files() == {NAME: 8, "workspace/base.json": 2}
        assert kept.read(NAME) == b"one\ntwo\n"


def test_a_new_run_finds_no_kept_files(path):
    for _ in range(2):
        with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, _):
            assert (kept.files(), kept.read(NAME)) == ({}, None)
            kept.write(NAME, b"one\n")


@pytest.mark.parametrize("seed", range(3))
def test_a_kept_file_has_the_content_of_all_its_writes(kept, seed):
    choose, model = random.Random(seed), b""
    for _ in range(30):
        offset = choose.choice([0, len(model), choose.randint(0, len(model))])
        data = choose.randbytes(choose.choice([0, 1, 100, MERGED_BYTES, MAX_KEPT_PART_BYTES + 1]))
        kept.write(NAME, data, offset=offset)
        model = model[:offset] + data
        assert kept.read(NAME) == model


def test_a_write_beyond_the_end_of_a_file_is_refused(kept):
    with pytest.raises(Invalid):
        kept.write(NAME, b"x", offset=1)

    assert kept.files() == {}


def test_the_size_of_kept_files_of_a_run_is_limited(kept, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_BYTES", 10)

    with pytest.raises(TooLarge):
        kept.write(NAME, b"x" * 11)


def test_a_deleted_file_is_not_found(kept):
    kept.write(NAME, b"one")

    kept.delete(NAME)

    assert (kept.files(), kept.read(NAME)) == ({}, None)


def test_an_abandoned_write_does_not_undo_a_later_one(path):
    with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, client):
        kept.write(NAME, b"one")
        kept.write(NAME, b"two", offset=3)
        late = {"name": NAME, "offset": 0, "write": 1}
        client.put(PATH_KEPT_CONTENT, params=late, content=b"one", headers={"Authorization": "Bearer token"})

        assert kept.read(NAME) == b"onetwo"
