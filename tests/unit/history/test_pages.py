"""Cursors are opaque to clients, exact to us, and anything else is refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from agentjobs import errors
from agentjobs.history.pages import parse_cursor, write_cursor

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param([NOON, "uid-1"], id="job"),
        pytest.param([NOON.astimezone(timezone(timedelta(hours=2))), "ü/+ "], id="zone-and-text"),
        pytest.param([3, 2**63 - 1], id="event"),
    ],
)
def test_a_cursor_is_decoded_to_its_key(key):
    cursor = write_cursor(key)

    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert parse_cursor(cursor, [type(part) for part in key]) == key


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("", id="empty"),
        pytest.param("!!!", id="no-base64"),
        pytest.param("ü", id="no-ascii"),
        pytest.param("e30", id="no-list"),
        pytest.param(write_cursor([1]), id="too-short"),
        pytest.param(write_cursor([1, 2, 3]), id="too-long"),
        pytest.param(write_cursor(["1", 2]), id="wrong-type"),
        pytest.param(write_cursor([True, 2]), id="boolean"),
        pytest.param(write_cursor([-1, 2]), id="negative"),
        pytest.param(write_cursor([2**63, 2]), id="huge"),
        pytest.param("W" * 100_000, id="long"),
    ],
)
def test_an_invalid_cursor_is_refused_with_a_solution(cursor):
    with pytest.raises(errors.Invalid, match="omit it") as caught:
        parse_cursor(cursor, (int, int))

    assert len(str(caught.value)) < 200
