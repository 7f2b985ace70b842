"""The log of a container: lines and queries. Uses files of a temporary folder."""

import asyncio
import datetime

import pytest

from devcluster.node.endpoint import log_query
from devcluster.node.logs import ContainerLog, LogQuery

T0 = datetime.datetime(2026, 11, 21, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.fixture
def log(tmp_path):
    times = iter(T0 + datetime.timedelta(seconds=second) for second in range(10_000))
    made = ContainerLog(tmp_path / "c" / "log", clock=lambda: next(times))
    yield made
    made.close()


async def read(log, **query):
    return b"".join([piece async for piece in log.read(LogQuery(**query))])


async def test_chunks_are_joined_into_lines(log):
    log.data_received(b"on")
    log.data_received(b"e\ntwo\nthr")
    log.close()

    assert await read(log) == b"one\ntwo\nthr\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"tail_lines": 1}, b"two\n", id="tail"),
        pytest.param({"tail_lines": 0}, b"", id="tail of nothing"),
        pytest.param({"limit_bytes": 5}, b"one\nt", id="limit"),
        pytest.param({"since": T0 + datetime.timedelta(seconds=1)}, b"two\n", id="since"),
        pytest.param({"timestamps": True, "tail_lines": 1}, b"2026-11-21T12:00:01.000000Z two\n", id="timestamps"),
    ],
)
async def test_a_query_selects_lines(log, query, expected):
    log.data_received(b"one\n")
    log.data_received(b"two\n")

    assert await read(log, **query) == expected


async def test_a_follower_reads_new_lines_until_the_end(log):
    log.data_received(b"one\n")
    reading = asyncio.create_task(read(log, follow=True))
    await asyncio.sleep(0)
    log.data_received(b"two\n")
    await asyncio.sleep(0)
    log.close()

    assert await reading == b"one\ntwo\n"


async def test_a_carriage_return_ends_no_line(log):
    log.data_received(b"10 %\r20 %\n")

    assert await read(log) == b"10 %\r20 %\n"


async def test_a_line_without_end_is_truncated(log):
    log.data_received(b"x" * 20_000)
    log.close()

    assert [len(line) for line in (await read(log)).splitlines()] == [16_384, 3_616]


async def test_a_follower_survives_rotation(log):
    reading = asyncio.create_task(read(log, follow=True))
    await asyncio.sleep(0)
    for _ in range(12):
        log.data_received((b"x" * 1023 + b"\n") * 1024)
        await asyncio.sleep(0)
    log.close()

    assert len(await reading) == 12 * 1024 * 1024


async def test_the_termination_message_is_the_end_of_the_log(log):
    log.data_received(b"".join(b"%04d\n" % number for number in range(1000)))

    assert log.tail().splitlines() == [f"{number:04d}" for number in range(920, 1000)]


@pytest.mark.parametrize(
    ("parameters", "value"), [({"tailLines": "-1"}, "-1"), ({"limitBytes": "x"}, "x"), ({"sinceTime": "soon"}, "soon")]
)
def test_an_invalid_query_is_refused(parameters, value):
    with pytest.raises(ValueError, match=value):
        log_query(parameters, now=T0)


def test_a_valid_query_is_parsed():
    query = log_query({"follow": "true", "tailLines": "3", "sinceSeconds": "60"}, now=T0)

    assert query == LogQuery(follow=True, tail_lines=3, since=T0 - datetime.timedelta(seconds=60))
