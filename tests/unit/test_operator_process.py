"""What the operator does about files that it was given."""

import asyncio

import pytest

from agentjobs import ca_bundle
from agentjobs.errors import Misconfigured
from agentjobs.operator_process import Operator, run
from agentjobs.settings import operator_settings

PRICES = "prices: [{models: [openai/mystery-9], input: 1, output: 2}]"


def settings_of(path):
    return operator_settings(database_url="postgresql://x", gateway_url="http://x", models_file=path)


def operator_of(path):
    return Operator(settings_of(path))


@pytest.fixture
def models_file(tmp_path, monkeypatch):
    monkeypatch.setattr(ca_bundle, "POLL_SECONDS", 0.01)
    path = tmp_path / "models.yaml"
    path.write_text(PRICES)
    return path


@pytest.mark.parametrize("text", ["prices: 7", None])
def test_an_invalid_models_file_ends_the_operator_immediately(models_file, text):
    if text is None:
        models_file.unlink()
    else:
        models_file.write_text(text)

    with pytest.raises(Misconfigured, match=r"models\.yaml"):
        operator_of(models_file)


def test_invalid_settings_end_the_operator_with_the_exit_code_of_a_usage_error(models_file):
    models_file.write_text("prices: 7")

    with pytest.raises(SystemExit) as left:
        run(settings_of(models_file))

    assert left.value.code == 2


async def test_the_operator_exits_to_be_restarted_when_the_models_file_changes(models_file):
    operator = operator_of(models_file)
    following = asyncio.create_task(operator._follow_models())
    await asyncio.sleep(0.05)
    assert not following.done()

    models_file.write_text(PRICES.replace("2", "3"))
    await asyncio.wait_for(following, 5)

    assert operator._stop.is_set()


async def test_the_operator_keeps_its_models_while_the_file_is_invalid(models_file, caplog):
    operator = operator_of(models_file)
    following = asyncio.create_task(operator._follow_models())
    models_file.write_text("prices: 7")
    async with asyncio.timeout(30):
        while "models.unreadable" not in caplog.text:
            await asyncio.sleep(0.01)

    assert not operator._stop.is_set()
    following.cancel()
