"""Tables and text for people."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.cli.printing import age, as_json, cell, cut_short, harmless, server_table, table

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_columns_are_aligned_and_empty_values_are_shown_as_none():
    text = table(["NAME", "PHASE"], [["a-long-name", "Running"], ["b", None]])

    assert text.splitlines() == ["NAME          PHASE", "a-long-name   Running", "b             <none>"]


def test_a_row_of_a_watch_is_printed_without_a_header():
    assert table(["NAME", "PHASE"], [["a", "Running"]], with_header=False) == "a   Running"


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "\x07", "\u202ereversed", "\u061cturned", "\x9b31m", "\r"])
def test_control_characters_in_a_models_text_are_escaped(text):
    assert not set(harmless(text)) & set("\x1b\x07\u061c\u202e\x9b\r")
    assert not set(as_json({"text": text})) & set("\x1b\x07\u061c\u202e\x9b\r")
    assert json.loads(as_json({"text": text})) == {"text": text}  # a program gets it as it is


def test_newlines_are_kept_in_text_and_removed_from_cells():
    assert (harmless("a\n\tb"), cell("a\n\tb")) == ("a\n\tb", "a b")


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=5, seconds=3), "5m3s"),
        (timedelta(minutes=42), "42m"),
        (timedelta(hours=3, minutes=12), "3h12m"),
        (timedelta(hours=30), "30h"),
        (timedelta(days=2, hours=4), "2d4h"),
        (timedelta(days=40), "40d"),
    ],
)
def test_ages_have_kubectls_format(passed, shown):
    assert age((NOW - passed).isoformat(), now=NOW) == shown


def test_a_truncated_answer_is_reported_with_its_sizes():
    told = cut_short("x" * 4 * 2**20, 6 * 2**20)

    assert ("6.0 MiB" in told, "4.0 MiB" in told) == (True, True)


def test_a_list_of_jobs_with_short_names_fits_80_columns():
    names = ("Name", "Phase", "Outcome", "Queue", "Attempts", "Reason", "Age")
    cells = ["morning-brief", "Retrying", "approved", "default", 2, "ModelRateLimited", "3h12m"]
    found = {"columnDefinitions": [{"name": name} for name in names], "rows": [{"cells": cells}]}

    assert max(map(len, server_table(found, wide=False, everywhere=False).splitlines())) <= 80
