"""Pages over answers of REST that a test gives."""

import pytest
from tests.dashboardpages import Answers, client


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
async def pages(answers):
    """Asks for pages as Ada, who is signed in."""
    async with client(answers) as http:
        yield http


@pytest.fixture
async def strangers(answers):
    """Asks for pages as nobody."""
    async with client(answers, identity=None) as http:
        yield http
