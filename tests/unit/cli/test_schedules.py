"""The pages about schedules: nothing is too wide for a terminal of 80 columns, nor broken inside a word."""

from datetime import UTC, datetime

import pytest

from agentjobs.cli import printing, schedules

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COLUMNS = ("Name", "Schedule", "Timezone", "Suspend", "Active", "Last", "Next", "Policy", "Reason", "Age")
MESSAGE = "the last three jobs failed, and spec.haltAfterFailures is 3; look at them, then resume the schedule"


def listed(*, name="morning-brief", soonest="2026-11-22T20:00:00Z"):
    columns = [{"name": column, "priority": int(column == "Policy")} for column in COLUMNS]
    cells = [name, "*/15 6-18 * * 1-5", "Europe/Berlin", None, 0, "16h", soonest, "Forbid", "Scheduled", "12d"]
    return {"columnDefinitions": columns, "rows": [{"cells": cells}]}


def test_a_list_of_schedules_fits_80_columns():
    lines = schedules.fitted(listed(), 80, now=NOW, everywhere=False).splitlines()

    assert max(map(len, lines)) <= 80
    assert {"NAME", "SCHEDULE", "NEXT", "REASON"} <= set(lines[0].split())


def test_values_that_fit_are_not_truncated():
    header = schedules.fitted(listed(), 200, now=NOW, everywhere=False).splitlines()[0]

    assert header.split() == [column.upper() for column in COLUMNS if column != "Policy"]


@pytest.mark.parametrize(("soonest", "shown"), [("2026-11-22T20:00:00Z", "in 32h"), ("", ""), (None, None)])
def test_on_a_terminal_the_next_time_is_shown_as_a_duration(soonest, shown):
    cells = schedules.soon(listed(soonest=soonest), now=NOW)["rows"][0]["cells"]

    assert (cells[COLUMNS.index("Next")] or None) == (shown or None)


def test_messages_of_conditions_are_wrapped_between_words(monkeypatch):
    monkeypatch.setattr(printing, "terminal_width", lambda: 80)
    one = {"type": "Active", "status": "False", "reason": "TooManyFailures", "message": MESSAGE}

    lines = schedules._conditions({"status": {"conditions": [one]}}).splitlines()

    assert [line for line in lines if len(line) > 80] == []
    assert " ".join(" ".join(lines).split()).endswith(MESSAGE)
