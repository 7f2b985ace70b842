"""What the runner's log lines say, and what they keep to themselves."""

import json
import logging

import pytest

from agentjobs_runner.attempt import RedactingFormatter
from agentjobs_runner.wording import Redactor

PASSWORD = 'pä"ss\\word\n1'


@pytest.fixture
def line():
    """`line(**fields)`: a record of a runner that knows a password, as it is written."""
    formatter = RedactingFormatter(Redactor({"SHOP_PASSWORD": PASSWORD}))

    def write(error=None, **fields):
        record = logging.makeLogRecord({"msg": "agent.raised", "name": "x", **fields})
        record.exc_info = error and (type(error), error, None)
        return json.loads(formatter.format(record))

    return write


def test_a_secret_that_json_writes_otherwise_is_cleared(line):
    told = line(detail=f"no login with {PASSWORD}", deep={"tries": [PASSWORD]})

    assert (told["detail"], told["deep"]) == ("no login with [SHOP_PASSWORD]", {"tries": ["[SHOP_PASSWORD]"]})


def test_a_stack_is_cleared(line):
    assert line(ValueError(PASSWORD))["stack"] == "ValueError: [SHOP_PASSWORD]"


def test_a_value_that_is_no_text_is_cleared(line):
    assert line(detail=ValueError(PASSWORD))["detail"] == "[SHOP_PASSWORD]"
