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


def test_a_later_start_goes_on_from_what_the_start_before_kept(path):
    with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, _):
        kept.write(NAME, b"one\n")
        kept.write("workspace/base.json", b"{}")

    with keeping(Journal.resume(path, WORK, NOW)) as (kept, _):
        kept.write(NAME, b"two\n", offset=4)

        assert kept.files() == {NAME: 8, "workspace/base.json": 2}
        assert kept.read(NAME) == b"one\ntwo\n"


def test_a_run_that_begins_anew_finds_nothing(path):
    for _ in range(2):
        with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, _):
            assert (kept.files(), kept.read(NAME)) == ({}, None)
            kept.write(NAME, b"one\n")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_a_file_is_what_its_writes_made_of_it(kept, seed):
    choose, model = random.Random(seed), b""
    for _ in range(30):
        offset = choose.choice([0, len(model), choose.randint(0, len(model))])
        data = choose.randbytes(choose.choice([0, 1, 100, MERGED_BYTES, MAX_KEPT_PART_BYTES + 1]))
        kept.write(NAME, data, offset=offset)
        model = model[:offset] + data
        assert kept.read(NAME) == model


def test_nothing_begins_behind_the_end_of_a_file(kept):
    with pytest.raises(Invalid):
        kept.write(NAME, b"x", offset=1)

    assert kept.files() == {}


def test_a_run_keeps_so_much_and_no_more(kept, monkeypatch):
    monkeypatch.setattr("agentjobs.history.kept.MAX_KEPT_BYTES", 10)

    with pytest.raises(TooLarge):
        kept.write(NAME, b"x" * 11)


def test_a_file_that_is_deleted_is_gone(kept):
    kept.write(NAME, b"one")

    kept.delete(NAME)

    assert (kept.files(), kept.read(NAME)) == ({}, None)


def test_a_write_that_was_given_up_does_not_undo_the_one_after_it(path):
    with keeping(Journal.begin(path, WORK, NOW)[0]) as (kept, client):
        kept.write(NAME, b"one")
        kept.write(NAME, b"two", offset=3)
        late = {"name": NAME, "offset": 0, "write": 1}
        client.put(PATH_KEPT_CONTENT, params=late, content=b"one", headers={"Authorization": "Bearer token"})

        assert kept.read(NAME) == b"onetwo"
