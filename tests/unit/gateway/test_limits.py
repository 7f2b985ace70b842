"""Bodies are counted as they arrive, whatever their header promised."""

import pytest
from starlette.requests import Request

from agentjobs.gateway.limits import LINGER_BYTES, Turns, read_body
from agentjobs.gateway.problems import Problem


@pytest.fixture
def request_of():
    """A request whose body comes in these chunks; `sent` counts how many were taken."""

    def build(chunks, *, length=None, broken=False):
        taken = []
        source = iter(chunks)

        async def receive():
            chunk = next(source, None)
            if chunk is None:
                return {"type": "http.disconnect"} if broken else {"type": "http.request", "body": b""}
            taken.append(len(chunk))
            return {"type": "http.request", "body": chunk, "more_body": True}

        headers = [] if length is None else [(b"content-length", length)]
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
        request.state.taken = taken
        return request

    return build


@pytest.mark.parametrize("length", [None, b"4", b"0", b"-1", b"x", b"9" * 30], ids=str)
async def test_a_body_within_the_limit_is_read_whatever_its_length_says(request_of, length):
    assert await read_body(request_of([b"ab", b"cd"], length=length), 4) == b"abcd"


async def test_a_body_beyond_the_limit_is_413_and_names_it(request_of):
    with pytest.raises(Problem, match="larger than 4 bytes") as refused:
        await read_body(request_of([b"ab", b"cde"]), 4)

    assert (refused.value.status, refused.value.reason) == (413, "BodyTooLarge")


async def test_an_announced_excess_is_refused_though_little_comes(request_of):
    with pytest.raises(Problem) as refused:
        await read_body(request_of([b"ab"], length=b"5"), 4)

    assert refused.value.status == 413


async def test_what_follows_a_refused_body_is_dropped_up_to_a_bound(request_of):
    chunk = b"x" * (1024 * 1024)
    request = request_of([chunk] * 200)

    with pytest.raises(Problem):
        await read_body(request, 4)

    assert LINGER_BYTES <= sum(request.state.taken) <= LINGER_BYTES + 3 * len(chunk)


async def test_a_caller_who_hangs_up_half_way_is_400(request_of):
    with pytest.raises(Problem) as refused:
        await read_body(request_of([b"ab"], broken=True), 4)

    assert (refused.value.status, refused.value.reason) == (400, "BodyIncomplete")


async def test_a_runner_has_a_few_requests_under_way_and_others_theirs():
    turns = Turns(limit=2)
    with turns.taken("a"), turns.taken("a"), turns.taken("b"), pytest.raises(Problem) as refused, turns.taken("a"):
        pass
    with turns.taken("a"), turns.taken("a"):
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
