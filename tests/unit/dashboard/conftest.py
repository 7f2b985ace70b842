"""Pages over answers of REST that a test gives."""

from datetime import UTC, datetime

import pytest
from tests.dashboardpages import Answers, client
from tests.restparameters import unknown_parameters


class Clock:
    """The time of a test, which it moves by `at`."""

    def __init__(self):
        self.at = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.at

    def seconds(self):
        return self.at.timestamp()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def answers():
    """What REST answers; it must have all query parameters that pages send."""
    made = Answers()
    yield made
    assert not [
        unknown for each in made.asked for unknown in unknown_parameters(each.method, each.url.path, each.url.params)
    ]


@pytest.fixture
async def pages(answers):
    """Asks for pages as Ada, who is signed in."""
    async with client(answers) as http:
        yield http


@pytest.fixture
async def strangers(answers):
    """Asks for pages as no one."""
    async with client(answers, identity=None) as http:
        yield http
