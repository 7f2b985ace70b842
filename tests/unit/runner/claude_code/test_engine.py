"""What the engine makes of a pod that cannot run the CLI at all."""

import errno

import pytest

from agentjobs_runner.claude_code import engine


def test_a_full_disk_is_retried(monkeypatch):
    def full(**options: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine.tempfile, "mkdtemp", full)

    ending = engine.execute({}, None, None, None)

    assert (ending.verdict, ending.reason) == ("Retry", "IO")
    assert "No space left" in ending.message


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"AGENTJOBS_MODELS_URL": "http://p/", "ANTHROPIC_BASE_URL": "http://p/anthropic"}, "http://p/anthropic"),
        ({"AGENTJOBS_MODELS_URL": "http://p", "ANTHROPIC_BASE_URL": "https://api.example"}, None),
        ({"ANTHROPIC_BASE_URL": "https://api.example"}, None),
        ({}, None),
    ],
)
def test_the_proxy_is_used_unless_the_job_calls_the_provider_directly(variables, url):
    assert engine._proxy(variables) == url
