"""What the operator does about files that it was given."""

import asyncio

import pytest

from agentjobs import authorities
from agentjobs.errors import Invalid, Misconfigured
from agentjobs.operator_process import Operator
from agentjobs.settings import operator_settings

PRICES = "prices: [{models: [openai/mystery-9], input: 1, output: 2}]"


def operator_of(path):
    return Operator(operator_settings(database_url="postgresql://x", gateway_url="http://x", models_file=path))


@pytest.fixture
def models_file(tmp_path, monkeypatch):
    monkeypatch.setattr(authorities, "LOOK_SECONDS", 0.01)
    path = tmp_path / "models.yaml"
    path.write_text(PRICES)
    return path


@pytest.mark.parametrize(("text", "error"), [("prices: 7", Invalid), (None, Misconfigured)])
def test_a_file_of_models_that_is_of_no_use_ends_it_at_once(models_file, text, error):
    if text is None:
        models_file.unlink()
    else:
        models_file.write_text(text)

    with pytest.raises(error, match=r"models\.yaml"):
        operator_of(models_file)


async def test_it_ends_to_be_started_again_when_the_file_of_models_changes(models_file):
    operator = operator_of(models_file)
    following = asyncio.create_task(operator._follow_models())
    await asyncio.sleep(0.05)
    assert not following.done()

    models_file.write_text(PRICES.replace("2", "3"))
    await asyncio.wait_for(following, 5)

    assert operator._stop.is_set()


async def test_it_goes_on_with_what_it_has_while_the_file_is_broken(models_file, caplog):
    operator = operator_of(models_file)
    following = asyncio.create_task(operator._follow_models())
    models_file.write_text("prices: 7")
    await asyncio.sleep(0.05)

    assert not operator._stop.is_set()
    assert "models.unreadable" in caplog.text
    following.cancel()
