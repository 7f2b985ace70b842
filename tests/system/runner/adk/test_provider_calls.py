"""Tool calls of OpenAI's and Anthropic's models: none runs that the model did not finish."""

import json
import sys

import pytest


def ended(ending):
    return ending.verdict.value, ending.reason, ending.delay_seconds


PURGE = {"inline": {"name": "a", "instruction": "Help.", "tools": [{"name": "purging:purge"}]}}
PURGING = """
def purge(prefix: str = ""):
    raise AssertionError("the tool ran")
"""


@pytest.fixture
def purging(tmp_path, monkeypatch):
    """A tool that must not run, as a module."""
    (tmp_path / "purging.py").write_text(PURGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "purging", raising=False)


LIMIT = {"openai": "length", "anthropic": "max_tokens"}
CALLED = {"openai": "tool_calls", "anthropic": "tool_use"}


@pytest.mark.usefixtures("purging")
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("arguments", ['{"prefix": "tmp/2026-11-2', "{}", '{"prefix": "tmp"}'])
async def test_a_truncated_tool_call_does_not_run(ask, provider, mode, arguments):
    if provider.name == "anthropic" and mode == "NONE":
        arguments = "{}"  # Anthropic's API parses what came
    answer = provider.call(arguments, LIMIT[provider.name], stream=mode == "SSE")

    ending, _ = await ask(answer, agent=PURGE, mode=mode)

    assert ended(ending) == ("Fail", "ModelOutputTruncated", None)
    assert "call of tool purge" in ending.message


@pytest.mark.usefixtures("purging")
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("arguments", ["{prefix: tmp/2026-11-21}", '{"prefix": "tm', '["tmp"]', '"tmp"', "7"])
async def test_a_tool_call_whose_arguments_are_not_an_object_does_not_run(ask, provider, mode, arguments):
    if provider.name == "anthropic" and mode == "NONE" and arguments.startswith("{"):
        arguments = '["tmp"]'  # see above
    answer = provider.call(arguments, CALLED[provider.name], stream=mode == "SSE")

    ending, _ = await ask(answer, agent=PURGE, mode=mode)

    assert ended(ending) == ("Retry", "ResultError", None)
    assert "purge" in ending.message


SAVING = """
SAVED = []
def save(text: str = ""):
    SAVED.append(text)
"""


@pytest.mark.parametrize("provider", ["openai"], indirect=True)
@pytest.mark.parametrize("indexes", [(0, 1), (0, 0), (None, None)])
async def test_tool_calls_of_an_answer_stay_separate_with_any_indexes(ask, provider, tmp_path, monkeypatch, indexes):
    (tmp_path / "saving.py").write_text(SAVING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "saving", raising=False)
    events = []
    for index, (id_, begin, end) in zip(indexes, (("c1", "", "{}"), ("c2", '{"text": ', '"b"}')), strict=True):
        place = {} if index is None else {"index": index}
        first = {"id": id_, "type": "function", "function": {"name": "save", "arguments": begin}}
        events += [{"tool_calls": [place | first]}, {"tool_calls": [place | {"function": {"arguments": end}}]}]
    chunks = [*(provider._chunk(event, None) for event in events), provider._chunk({}, "tool_calls")]
    called = ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n").encode()
    agent = {"inline": {"name": "a", "instruction": "Help.", "tools": [{"name": "saving:save"}]}}

    ending, _ = await ask(called, provider.streamed("Saved."), agent=agent, mode="SSE")

    assert (ending.result or {}).get("text") == "Saved.", ending
    assert sorted(sys.modules["saving"].SAVED) == ["", "b"]


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_a_text_before_a_missing_tool_call_is_not_an_answer(ask, provider, mode):
    if mode == "SSE":
        answer = provider.streamed("I will look.", reason=CALLED[provider.name])
    elif provider.name == "openai":
        answer = provider._completion({"content": "I will look."}, "tool_calls")
    else:
        answer = provider._message([{"type": "text", "text": "I will look."}], "tool_use")

    ending, _ = await ask(answer, mode=mode)

    assert ended(ending) == ("Retry", "ResultError", None)
    assert "no call" in ending.message
