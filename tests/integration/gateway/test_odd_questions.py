"""Unusual queries of users are answered or refused: none causes an internal error."""

import asyncio
import base64
import json

import pytest

# Their jobs are rows alone, and a cluster's garbage collector deletes pods without their job.
pytestmark = pytest.mark.alone("runners' pods here have no job")

JOBS = "/v1/namespaces/default/agentjobs"
EVENTS = f"{JOBS}/hello/events"
HUGE = "9" * 400
ODD = {
    "nul": "%00",
    "no UTF-8": "%ff%fe",
    "half a surrogate": "%ed%a0%80",
    "quotes": "%27;--%22%5C",
    "line": "%0d%0aX-A:1",
    "long": "x" * 20_000,
    "a list": "[1]",
    "an object": "%7B%7D",
    "negative": "-1",
    "huge": HUGE,
    "beyond 64 bits": str(2**63),
    "fraction": "1.5",
    "exponent": "1e9",
    "not a number": "NaN",
    "underscore": "1_0",
    "other digits": "%D9%A3",
}


def cursor(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


CURSORS = {
    "numbers beyond 64 bits": cursor([2**63, 2**63]),
    "huge numbers": cursor([10**150, 1]),
    "start beyond 32 bits": cursor([2**31, 1]),
    "negative": cursor([-1, -1]),
    "truth": cursor([True, True]),
    "fraction": cursor([1.0, 1.0]),
    "first day": cursor(["0001-01-01T00:00:00+23:59", "u"]),
    "last day": cursor(["9999-12-31T23:59:59-23:59", "u"]),
    "no zone": cursor(["2026-01-01T00:00:00", "u"]),
    "nul": cursor(["2026-01-01T00:00:00+00:00", "\0"]),
    "surrogate": cursor(["2026-01-01T00:00:00+00:00", "\ud800"]),
    "null": cursor([None, None]),
    "nothing": cursor([]),
    "an object": cursor({}),
    "deep": base64.urlsafe_b64encode(b"[" * 380).decode().rstrip("="),
    "not a number": base64.urlsafe_b64encode(b"[NaN,Infinity]").decode().rstrip("="),
}
PARAMETERS = [
    *((JOBS, name) for name in ("limit", "cursor", "name", "schedule", "partition")),
    *((EVENTS, name) for name in ("limit", "cursor", "start", "newest")),
    *(("/v1/actions", name) for name in ("limit", "cursor", "uid")),
    *(("/v1/usage/series", name) for name in ("since", "until", "by")),
]
NUMBERS = ("negative", "beyond 64 bits", "fraction", "exponent")
# Any text may be looked for; `1_0` is ten to pydantic.
SOUND = (
    {(name, kind) for name in ("name", "schedule", "partition") for kind in ODD if kind not in ("nul", "long", "huge")}
    | {("uid", kind) for kind in NUMBERS}
    | {(name, "underscore") for name in ("limit", "start")}
)


async def asked(http, cluster, path, query):
    answer = await http.get(
        f"{path}{'&' if '?' in path else '?'}{query}", headers={"Authorization": f"Bearer {cluster.server.token}"}
    )
    return answer.status_code


async def test_no_query_parameter_causes_an_internal_error(cluster, story, http):
    await story.begin()

    told = {
        (name, kind): await asked(http, cluster, path, f"{name}={value}")
        for path, name in PARAMETERS
        for kind, value in ODD.items()
    }

    refused = {which for which, status in told.items() if 400 <= status < 500}
    assert (set(told) - refused, {told[which] for which in SOUND}) == (SOUND, {200})


@pytest.mark.parametrize(
    ("path", "sound"),
    [
        pytest.param(JOBS, [], id="jobs"),
        pytest.param(EVENTS, ["start beyond 32 bits"], id="events"),
        pytest.param(f"{EVENTS}?newest=true", ["start beyond 32 bits"], id="newest-events"),
    ],
)
async def test_no_cursor_causes_an_internal_error(cluster, story, http, path, sound):
    await story.begin()

    told = {kind: await asked(http, cluster, path, f"cursor={value}") for kind, value in CURSORS.items()}

    accepted = {kind: status for kind, status in told.items() if not 400 <= status < 500}
    assert accepted == dict.fromkeys(sound, 200)


async def test_a_query_of_100_kilobytes_is_refused(cluster, story, http):
    host, port = http.base_url.host, http.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {JOBS}?cursor={'x' * 100_000} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    async with asyncio.timeout(20):
        answer = await reader.readline()
    writer.close()

    assert answer.split()[1].startswith(b"4")
