"""Keys and the models file, which change while the proxy runs."""

import logging

import pytest

from agentjobs.errors import Misconfigured
from agentjobs.models.config import KeySource
from agentjobs.proxy.installation import Installation
from agentjobs.proxy.keys import POLL_SECONDS, Keys


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_key_is_read_again_only_when_its_file_changes(tmp_path, clock):
    keys, file = Keys(clock=clock), tmp_path / "key"
    source = KeySource(file, place=str(file))
    file.write_text("one\n")

    first = keys.read(source)
    file.write_text("another")
    soon, clock.now = keys.read(source), POLL_SECONDS
    later = keys.read(source)

    assert (first, soon, later) == ("one", "one", "another")


@pytest.mark.parametrize(
    "content", [None, b"", b" \n", b"\xff\xfe", b"x" * 70_000], ids=["none", "empty", "blank", "bytes", "huge"]
)
def test_an_invalid_key_file_is_named_and_its_content_is_not_shown(tmp_path, clock, content):
    keys, file = Keys(clock=clock), tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Misconfigured) as refused:
        keys.read(KeySource(file, place=str(file)))

    assert str(file) in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_missing_key_is_used_when_it_exists(tmp_path, clock):
    keys, file = Keys(clock=clock), tmp_path / "key"
    source = KeySource(file, place=str(file))
    with pytest.raises(Misconfigured):
        keys.read(source)

    file.write_text("one")
    clock.now = POLL_SECONDS

    assert keys.read(source) == "one"


def test_representations_do_not_contain_keys(tmp_path, clock):
    keys, file = Keys(clock=clock), tmp_path / "key"
    file.write_text("the-secret")

    keys.read(KeySource(file, place=str(file)))

    assert "the-secret" not in repr(vars(keys))


GOOD = "aliases: {fast: openai/gpt-5}\nproviders: [{name: o, kind: OpenAI, baseUrl: 'http://o'}]\n"


def test_a_changed_models_file_is_loaded_and_an_invalid_one_is_ignored(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "models.yaml"
    file.write_text(GOOD)
    installation = Installation(file, {})

    file.write_text(GOOD.replace("gpt-5", "gpt-6"))
    installation._poll()
    changed = installation.models.aliases
    file.write_text("providers: {")
    installation._poll()
    installation._poll()

    assert (changed, installation.models.aliases) == ({"fast": "openai/gpt-6"}, {"fast": "openai/gpt-6"})
    assert [record.message for record in caplog.records] == ["models.changed", "models.unusable"]


def test_an_invalid_file_at_the_start_is_refused_with_its_line(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text("providers: []\nprizes: []\n")

    with pytest.raises(Misconfigured, match=r"models\.yaml:2: "):
        Installation(file, {})
